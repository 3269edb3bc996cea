"""The kubelet's folders of pods: the part of a host's file system that ties names of pods to ids."""

from __future__ import annotations

import shutil
from pathlib import Path

from simnode.pod_life import has_begun, host_uid, present
from simnode.world import Container, Node, Pod

# ext4 takes 255 bytes with the ending. The kubelet cuts a longer name's end, which is the container's id.
LINK_NAME_LIMIT = 255 - len(".log")


class PodLogs:
    """One node's `var/log/pods`, `var/log/containers` and `var/lib/kubelet/pods` under `root`."""

    def __init__(self, root: Path, node: Node) -> None:
        self._pods = root / "var/log/pods"
        self._links = root / "var/log/containers"
        self._folders = root / "var/lib/kubelet/pods"
        self._node = node
        self._shown: dict[str, Pod] = {}

    def create(self, now_ns: int) -> None:
        """Empty folders in place of whatever an earlier run left."""
        for folder in (self._pods, self._links, self._folders):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self._shown.clear()
        self.update(now_ns)

    def update(self, now_ns: int) -> None:
        """Brings the folders to an instant. A container's logs stay until its pod goes."""
        alive = {pod.uid: pod for pod in present(self._node, now_ns)}
        for uid, pod in list(self._shown.items()):
            if uid not in alive:
                for container in pod.containers:
                    (self._links / link_name(pod, container)).unlink(missing_ok=True)
                shutil.rmtree(self._pods / folder_name(pod))
                shutil.rmtree(self._folders / host_uid(pod))
                del self._shown[uid]
        for uid, pod in alive.items():
            self._shown[uid] = pod
            (self._pods / folder_name(pod)).mkdir(exist_ok=True)
            (self._folders / host_uid(pod) / "containers").mkdir(parents=True, exist_ok=True)
            for container in pod.containers:
                if has_begun(pod, container, now_ns):
                    self._appear(pod, container)

    def _appear(self, pod: Pod, container: Container) -> None:
        log = self._pods / folder_name(pod) / container.name / "0.log"
        if log.parent.is_dir():
            return
        log.parent.mkdir()
        (self._folders / host_uid(pod) / "containers" / container.name).mkdir()
        log.touch()
        # Absolute, as on a real host: who mounts the host's root elsewhere sees a link into nowhere.
        target = Path("/var/log/pods") / folder_name(pod) / container.name / "0.log"
        (self._links / link_name(pod, container)).symlink_to(target)


def folder_name(pod: Pod) -> str:
    return f"{pod.namespace}_{pod.name}_{host_uid(pod)}"


def link_name(pod: Pod, container: Container) -> str:
    whole = f"{pod.name}_{pod.namespace}_{container.name}-{container.id}"
    return whole[:LINK_NAME_LIMIT] + ".log"
