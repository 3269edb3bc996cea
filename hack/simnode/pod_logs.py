"""The kubelet's log folders: the part of a host's file system that ties names of pods to ids."""

from __future__ import annotations

import shutil
from pathlib import Path

from simnode.world import Container, Node, Pod

# ext4 takes 255 bytes with the ending. The kubelet cuts a longer name's end, which is the container's id.
LINK_NAME_LIMIT = 255 - len(".log")


class PodLogs:
    """One node's `var/log/pods` and `var/log/containers` under `root`."""

    def __init__(self, root: Path, node: Node) -> None:
        self._pods = root / "var/log/pods"
        self._links = root / "var/log/containers"
        self._node = node
        self._shown: dict[str, Pod] = {}

    def create(self, now_ns: int) -> None:
        """Empty folders in place of whatever an earlier run left."""
        for folder in (self._pods, self._links):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self._shown.clear()
        self.update(now_ns)

    def update(self, now_ns: int) -> None:
        """Brings the folders to an instant."""
        alive = {pod.uid: pod for pod in present(self._node, now_ns)}
        for uid, pod in list(self._shown.items()):
            if uid not in alive:
                for container in pod.containers:
                    (self._links / link_name(pod, container)).unlink()
                shutil.rmtree(self._pods / folder_name(pod))
                del self._shown[uid]
        for uid, pod in alive.items():
            if uid not in self._shown:
                self._appear(pod)
                self._shown[uid] = pod

    def _appear(self, pod: Pod) -> None:
        for container in pod.containers:
            log = self._pods / folder_name(pod) / container.name / "0.log"
            log.parent.mkdir(parents=True)
            log.touch()
            # Absolute, as on a real host: who mounts the host's root elsewhere sees a link into nowhere.
            target = Path("/var/log/pods") / folder_name(pod) / container.name / "0.log"
            (self._links / link_name(pod, container)).symlink_to(target)


def present(node: Node, now_ns: int) -> list[Pod]:
    """The pods that hold their allocation at an instant, from their start on, no longer at their end."""
    return [
        pod for pod in node.pods if pod.start_ns <= now_ns and (pod.end_ns is None or now_ns < pod.end_ns)
    ]


def folder_name(pod: Pod) -> str:
    return f"{pod.namespace}_{pod.name}_{pod.uid}"


def link_name(pod: Pod, container: Container) -> str:
    whole = f"{pod.name}_{pod.namespace}_{container.name}-{container.id}"
    return whole[:LINK_NAME_LIMIT] + ".log"
