"""The kubelet's folders on the host: names of pods and containers for their ids, without the API server."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

Names = TypeVar("Names")

_LINK = re.compile(r"(?P<pod>[^_]+)_(?P<namespace>[^_]+)_(?P<container>[^_]+)-(?P<id>[0-9a-f]{64})\.log")
_FOLDER = re.compile(r"(?P<namespace>[^_]+)_(?P<pod>[^_]+)_(?P<uid>[0-9a-f-]{32,36})")


class ContainerName(NamedTuple):
    """A container, by the names that people know."""

    namespace: str
    pod: str
    container: str


class PodFolders(NamedTuple):
    """Pods by their log folders: UIDs by namespace and name, and the other way round."""

    uids: dict[tuple[str, str], str]
    names: dict[str, tuple[str, str]]


_NO_PODS = PodFolders({}, {})


class HostFiles:
    """
    A fall-back where neither the API server nor the kubelet says whose a container is. For one thread.

    *host_root* is where the host's root is mounted. Raises nothing: what can not be read is not known. Folders are
    listed again only when they have changed.
    """

    def __init__(self, host_root: Path) -> None:
        logs = host_root / "var" / "log"
        self._links = _Folder(logs / "containers", _container_names)
        self._pods = _Folder(logs / "pods", _pod_folders)
        self._volumes = host_root / "var" / "lib" / "kubelet" / "pods"

    def container(self, container_id: str) -> ContainerName | None:
        """Whose a container is. Not known where names are so long that the kubelet cut the id off."""
        return self._links.read({}).get(container_id)

    @property
    def containers(self) -> Mapping[str, ContainerName]:
        """All containers by their ids, as far as they are known."""
        return self._links.read({})

    def pod_uid(self, namespace: str, pod: str) -> str | None:
        """
        The UID of a pod; for a static pod the hash of its manifest.

        A folder outlives its pod for a while, so of several pods of one name the newest counts.
        """
        return self._pods.read(_NO_PODS).uids.get((namespace, pod))

    def pod_name(self, uid: str) -> tuple[str, str] | None:
        """
        Namespace and name of a pod, by its UID (of a static pod, its manifest's hash), while it is on the node.

        Its logs may outlive it; the folder of its volumes goes when the kubelet has done with it. Where volumes are
        not mounted, logs have to do.
        """
        name = self._pods.read(_NO_PODS).names.get(uid)
        if name is None or not (self._volumes.joinpath(uid).exists() or not self._volumes.exists()):
            return None
        return name


class _Folder(Generic[Names]):
    """What the names of a folder's entries say, read again when the folder has changed."""

    def __init__(self, path: Path, parse: Callable[[list[str]], Names]) -> None:
        self._path = path
        self._parse = parse
        self._changed_ns = -1
        self._names: Names | None = None

    def read(self, nothing: Names) -> Names:
        try:
            changed_ns = self._path.stat().st_mtime_ns
            if self._names is None or changed_ns != self._changed_ns:
                self._names = self._parse(self._by_age())
                self._changed_ns = changed_ns
        except OSError:
            return nothing
        return self._names

    def _by_age(self) -> list[str]:
        """Names of the entries, the newest last."""
        with os.scandir(self._path) as entries:
            return [name for _, name in sorted((_age_ns(entry), entry.name) for entry in entries)]


def _age_ns(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0


def _container_names(names: list[str]) -> dict[str, ContainerName]:
    parsed = (parse_log_link(name) for name in names)
    return dict(entry for entry in parsed if entry is not None)


def _pod_folders(names: list[str]) -> PodFolders:
    parsed = [entry for entry in map(parse_pod_folder, names) if entry is not None]
    return PodFolders(dict(parsed), {uid: name for name, uid in parsed})


def parse_log_link(name: str) -> tuple[str, ContainerName] | None:
    """A container's id and names, from the name of its link in /var/log/containers."""
    if (found := _LINK.fullmatch(name)) is None:
        return None
    return found["id"], ContainerName(found["namespace"], found["pod"], found["container"])


def parse_pod_folder(name: str) -> tuple[tuple[str, str], str] | None:
    """A pod's namespace and name, and its UID, from the name of its folder in /var/log/pods."""
    if (found := _FOLDER.fullmatch(name)) is None:
        return None
    return (found["namespace"], found["pod"]), found["uid"]
