"""A directory tree that plays a host's /proc for whoever wants to know whose a PID is."""

from __future__ import annotations

import shutil
from pathlib import Path

from simnode import cgroups, draws
from simnode.dra_files import mig_minors
from simnode.lives import Process, entries, living
from simnode.world import Node

TICK_NS = 10_000_000
"""USER_HZ is 100 on every Linux that runs Kubernetes."""

PAGE = 4096
COMM_LENGTH = 15
INIT = 1
# A comm may hold spaces and closing brackets, which is what breaks a naive split of /proc/PID/stat.
COMMS = ("python3", "VLLM::EngineCore", "ray::Train() (gpu 0)")


class ProcTree:
    """One node's /proc under `root`; `staging` lies beside it on the same file system and is its own.

    A process's folder appears complete and vanishes whole, by a rename: the kernel never shows half of one.
    """

    def __init__(self, root: Path, staging: Path, node: Node, seed: int, start_unix_ns: int) -> None:
        self._root = root
        self._staging = staging
        self._node = node
        self._boot_id = draws.lower_uuid(seed, node.path, "boot_id")
        self._node_id = draws.hexadecimal(seed, node.path, "node's own container")
        self._boot_unix_ns = start_unix_ns + node.booted_ns
        self._shown: dict[int, Process] = {}
        self._services = {spec.path: index for index, spec in enumerate(node.host_processes)}

    @property
    def boot_id(self) -> str:
        return self._boot_id

    def create(self, now_ns: int) -> None:
        """An empty tree in place of whatever an earlier run left."""
        for folder in (self._root, self._staging):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self._shown.clear()
        boot_id = self._root / "sys/kernel/random/boot_id"
        boot_id.parent.mkdir(parents=True)
        boot_id.write_text(self._boot_id + "\n")
        minors = self._root / "driver/nvidia-caps/mig-minors"
        minors.parent.mkdir(parents=True)
        minors.write_text(mig_minors(self._node))
        (self._root / "stat").write_text(
            "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\nintr 0\nctxt 0\n"
            f"btime {self._boot_unix_ns // 1_000_000_000}\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n"
        )
        self._appear(INIT, "systemd", 0, cgroups.file_text(self._node.cgroup, "/init.scope", False))
        self.update(now_ns)

    def update(self, now_ns: int) -> None:
        """Brings the tree to an instant."""
        self._write_uptime(now_ns)
        alive = {process.pid: process for process in living(self._node, now_ns)}
        for pid, process in list(self._shown.items()):
            if alive.get(pid) != process:
                self._vanish(pid)
                del self._shown[pid]
        for pid, process in alive.items():
            if pid not in self._shown:
                started_ticks = (process.start_ns - self._node.booted_ns) // TICK_NS
                self._appear(pid, comm_of(process), started_ticks, self._cgroup_text(process))
                self._shown[pid] = process

    def _cgroup_text(self, process: Process) -> str:
        cgroup = self._node.cgroup
        if process.pod is not None and process.container is not None:
            path = cgroups.container_path(cgroup, process.pod, process.container, self._node_id)
            return cgroups.file_text(cgroup, path, True)
        service = f"gpu-job-{self._services[process.spec.path]}"
        return cgroups.file_text(cgroup, cgroups.service_path(service), False)

    def _appear(self, pid: int, comm: str, started_ticks: int, cgroup_text: str) -> None:
        comm = comm[:COMM_LENGTH]
        folder = self._staging / str(pid)
        folder.mkdir()
        (folder / "cgroup").write_text(cgroup_text)
        (folder / "comm").write_text(comm + "\n")
        (folder / "stat").write_text(stat_line(pid, comm, started_ticks))
        folder.rename(self._root / str(pid))

    def _vanish(self, pid: int) -> None:
        gone = self._staging / f"{pid}.gone"
        (self._root / str(pid)).rename(gone)
        shutil.rmtree(gone)

    def _write_uptime(self, now_ns: int) -> None:
        up = max(now_ns - self._node.booted_ns, 0) / 1e9
        passing = self._staging / "uptime"
        passing.write_text(f"{up:.2f} {up:.2f}\n")
        passing.replace(self._root / "uptime")


def comm_of(process: Process) -> str:
    return COMMS[process.spec.slot % len(COMMS)]


def stat_line(pid: int, comm: str, started_ticks: int) -> str:
    """The 52 fields of proc(5); number 22 is the start in ticks since the boot."""
    parent = 0 if pid == INIT else INIT
    head = f"{pid} ({comm}) S {parent} {pid} {pid} 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 {started_ticks}"
    resident_pages = 262_144
    tail = [resident_pages * PAGE, resident_pages, 2**64 - 1] + [0] * 27
    return f"{head} {' '.join(str(field) for field in tail)}\n"


def next_change(node: Node, after_ns: int) -> int | None:
    """The first instant later than `after_ns` at which a process of the node begins or ends; None: never."""
    found: list[int] = []
    for spec, _, _ in entries(node):
        if spec.start_ns > after_ns:
            found.append(spec.start_ns)
        elif spec.every_ns is not None and (spec.end_ns is None or after_ns < spec.end_ns):
            repeats = (after_ns - spec.start_ns) // spec.every_ns + 1
            found.append(spec.start_ns + repeats * spec.every_ns)
    found += [process.end_ns for process in living(node, after_ns) if process.end_ns is not None]
    return min(found, default=None)
