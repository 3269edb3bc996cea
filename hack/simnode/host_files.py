"""Writes what the kubelet and the DRA driver keep below a host's /var, as it changes."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path

from simnode import dra_files, kubelet_files
from simnode.dra_claims import prepared
from simnode.pod_life import instants
from simnode.world import Node

DEVICE_CHECKPOINT = "var/lib/kubelet/device-plugins/kubelet_internal_checkpoint"
CLAIM_CHECKPOINT = "var/lib/kubelet/dra_manager_state"
DRIVER_CHECKPOINT = "var/lib/kubelet/plugins/gpu.nvidia.com/checkpoint.json"
CDI_FOLDER = "var/run/cdi"


class HostFiles:
    """One node's files under `root`. Each is replaced whole, so that a reader never sees half of one."""

    def __init__(self, root: Path, node: Node) -> None:
        self._root = root
        self._node = node
        self._instants = instants(node)
        self._written: dict[str, str] = {}
        self._state = -1

    def create(self, now_ns: int) -> None:
        """In place of whatever an earlier run left."""
        earlier = [self._root / path for path in (DEVICE_CHECKPOINT, CLAIM_CHECKPOINT, DRIVER_CHECKPOINT)]
        for file in (*earlier, *(self._root / CDI_FOLDER).glob("*")):
            file.unlink(missing_ok=True)
        self._written.clear()
        self._state = -1
        self.update(now_ns)

    def update(self, now_ns: int) -> None:
        """Brings the files to an instant."""
        state = bisect_right(self._instants, now_ns)
        if state == self._state:
            return
        self._state = state
        wanted = contents(self._node, now_ns)
        for path in self._written.keys() - wanted.keys():
            (self._root / path).unlink()
        for path, text in wanted.items():
            if self._written.get(path) != text:
                self._replace(self._root / path, text)
        self._written = wanted

    def _replace(self, file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_name(f".{file.name}.aside")
        aside.write_text(text)
        # What the kubelet and its plugins write is root's alone; CDI files are for every runtime.
        aside.chmod(0o644 if file.suffix == ".yaml" else 0o600)
        aside.replace(file)


def contents(node: Node, now_ns: int) -> dict[str, str]:
    """What every file says at an instant; a host without claims has no files of DRA."""
    found: dict[str, str] = {}
    if node.kubelet.checkpoint:
        found[DEVICE_CHECKPOINT] = kubelet_files.device_checkpoint(node, now_ns)
    if not node.claims:
        return found
    claims = prepared(node, now_ns)
    if node.kubelet.checkpoint:
        found[CLAIM_CHECKPOINT] = kubelet_files.claim_checkpoint(node, claims)
    if node.kubelet.dra_checkpoint:
        found[DRIVER_CHECKPOINT] = dra_files.driver_checkpoint(node, claims)
    if node.kubelet.cdi:
        for claim in claims:
            found[f"{CDI_FOLDER}/{dra_files.cdi_file_name(claim)}"] = dra_files.cdi_file(claim)
    return found
