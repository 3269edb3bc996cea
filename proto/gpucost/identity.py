"""Who: nodes, devices and holders, and the order in which ties between them are broken."""

import re
from dataclasses import dataclass
from enum import StrEnum

REMAINDER = "remainder"
"""The profile of what no GPU instance of a GPU in MIG mode covers."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_uuid(text: str) -> bool:
    """Whether *text* is a UUID in its usual lower-case form."""
    return _UUID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, order=True)
class NodeId:
    """A node of a cluster, by the names that their owners gave them."""

    cluster: str
    node: str


@dataclass(frozen=True, slots=True)
class Device:
    """
    What can be held: a whole GPU, one MIG compute instance, or a rest that nobody can hold.

    All but *gpu_uuid* are None for a whole GPU.
    *ci* is None for the rest of a GPU instance; *profile* is ``remainder`` for the rest of a GPU.
    Instance ids are used again within a minute, so profile and placement belong to the key.
    """

    gpu_uuid: str
    gi: int | None = None
    ci: int | None = None
    profile: str = ""
    placement: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether this is a GPU that is not partitioned."""
        return self.gi is None and not self.profile

    @property
    def order(self) -> tuple[str, bool, int, bool, int, str, int]:
        """Sorts devices as the ledger breaks ties: gi, ci, profile, placement; the remainder last."""
        return (
            self.gpu_uuid,
            self.profile == REMAINDER,
            -1 if self.gi is None else self.gi,
            self.ci is None,
            -1 if self.ci is None else self.ci,
            self.profile,
            -1 if self.placement is None else self.placement,
        )


class HolderKind(StrEnum):
    """Kinds of holders, in the ledger's order."""

    CONTAINER = "container"
    HOST = "host"
    UNALLOCATED = "unallocated"
    UNATTRIBUTED = "unattributed"
    UNOBSERVED = "unobserved"


_KIND_ORDER = {kind: place for place, kind in enumerate(HolderKind)}


@dataclass(frozen=True, slots=True)
class Holder:
    """
    Who pays: a container, or one of the named non-containers.

    *reason* belongs to ``unobserved`` alone and is part of its key.
    """

    kind: HolderKind
    namespace: str = ""
    pod: str = ""
    pod_uid: str = ""
    container: str = ""
    reason: str = ""

    @property
    def order(self) -> tuple[int, bytes, bytes, bytes, bytes, bytes]:
        """Sorts holders as the ledger breaks ties: containers bytewise, then the others by kind."""
        return (
            _KIND_ORDER[self.kind],
            self.namespace.encode(),
            self.pod.encode(),
            self.pod_uid.encode(),
            self.container.encode(),
            self.reason.encode(),
        )


HOST = Holder(HolderKind.HOST)
UNALLOCATED = Holder(HolderKind.UNALLOCATED)
UNATTRIBUTED = Holder(HolderKind.UNATTRIBUTED)


def unobserved(reason: str) -> Holder:
    """The holder of what the agent can not say, and why it can not."""
    return Holder(HolderKind.UNOBSERVED, reason=reason)
