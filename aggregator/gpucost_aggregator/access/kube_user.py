"""Somebody whom a proxy names, as Kubernetes calls them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from gpucost_aggregator.access.refusal import Refused, Why

OWN_PREFIX = "system:"
"""Names of Kubernetes itself; among them are those that may do everything."""

EVERYBODY = f"{OWN_PREFIX}authenticated"
"""The group that an API server adds to whoever it knows, so that a right of this group is theirs here, too."""

_LONGEST_NAME = 512


@dataclass(frozen=True, slots=True)
class KubeUser:
    """Name and groups as the API server of *cluster* knows them. What they may see is not known yet."""

    name: str
    groups: tuple[str, ...]
    cluster: str


@dataclass(frozen=True, slots=True)
class Naming:
    """
    How the API server of *cluster* calls people: with these prefixes, as its own flags for OIDC have them.

    *cluster* is the aggregator's own, by the name that its agents say.
    """

    cluster: str
    user_prefix: str = ""
    group_prefix: str = ""

    def user(self, identity: str, groups: Sequence[str]) -> KubeUser:
        """
        Whom a proxy names *identity* and says to be of *groups*; those that are Kubernetes' own are left out.

        Raises:
            Refused: The name is Kubernetes' own, or none.
        """
        name = f"{self.user_prefix}{identity}"
        named = [f"{self.group_prefix}{group}" for group in groups if _is_name(group)]
        # Whoever names people elsewhere must not be able to name an administrator of the cluster.
        if name.startswith(OWN_PREFIX) or not _is_name(name):
            raise Refused(
                Why.UNKNOWN,
                f"say who you are: a name of a person, which does not begin with {OWN_PREFIX}",
                f"{identity[:200]!r} is no name that Kubernetes is asked about",
            )
        theirs = dict.fromkeys(group for group in named if not group.startswith(OWN_PREFIX))
        return KubeUser(name, (*theirs, EVERYBODY), self.cluster)


def _is_name(text: str) -> bool:
    # A header may hold half a character, of which nobody knows what an API server makes.
    return 0 < len(text) <= _LONGEST_NAME and text.isprintable()
