"""
The kubelet's checkpoint of device plugins: which ids it gave to which container of which pod, by the pod's UID.

It is no API, and the only place that names a pod's UID and its ordinary init containers. Entries of dead pods stay
in it until the kubelet allocates again, so it never says alone that somebody holds something.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpucost_agent.sources.host.changing_file import ChangingFile

CHECKPOINT = Path("var/lib/kubelet/device-plugins/kubelet_internal_checkpoint")


@dataclass(frozen=True, slots=True)
class GivenIds:
    """What a container was given, by resource; ids as the device plugin wrote them, each once."""

    pod_uid: str
    container: str
    ids: Mapping[str, tuple[str, ...]]


class KubeletCheckpoint:
    """The checkpoint of the kubelet whose host's root is mounted at *host_root*. For one thread; raises nothing."""

    def __init__(self, host_root: Path) -> None:
        self._file = ChangingFile(host_root / CHECKPOINT, parse_checkpoint)

    def read(self) -> tuple[GivenIds, ...] | None:
        """What was given; None if the file is not there or not understood."""
        return self._file.read()

    @property
    def changed(self) -> bool:
        """Whether the kubelet wrote it since it was last read; one look, so it may be asked many times a second."""
        return self._file.changed

    @property
    def written_at_ns(self) -> int | None:
        """
        When what was read last was written; None if nothing was read.

        An allocation that was not there before was made at that instant: the kubelet writes before a container starts.
        """
        return self._file.written_at_ns


def parse_checkpoint(text: str) -> tuple[GivenIds, ...]:
    """
    The entries of a checkpoint, one for each container.

    Its checksum is the kubelet's own affair. Entries that are not understood are left out, as the rest is still true.
    Raises ValueError, KeyError, TypeError, AttributeError or RecursionError if it is no checkpoint at all.
    """
    given: dict[tuple[str, str], dict[str, dict[str, None]]] = {}
    for entry in json.loads(text)["Data"].get("PodDeviceEntries") or ():
        try:
            key = (str(entry["PodUID"]), str(entry["ContainerName"]))
            ids = _ids(entry["DeviceIDs"])
            resource = str(entry["ResourceName"])
            for word in (*key, resource, *ids):
                word.encode()  # JSON can spell half a character, which no message takes: ValueError.
            given.setdefault(key, {}).setdefault(resource, {}).update(dict.fromkeys(ids))
        except (KeyError, TypeError, AttributeError, ValueError):
            continue
    return tuple(
        GivenIds(uid, container, {resource: tuple(ids) for resource, ids in by_resource.items()})
        for (uid, container), by_resource in given.items()
    )


def _ids(value: Any) -> list[str]:
    """Kubelets since 1.20 write ids by NUMA node; those before wrote one list."""
    groups = value.values() if isinstance(value, Mapping) else [value]
    return [str(raw) for group in groups for raw in group or ()]
