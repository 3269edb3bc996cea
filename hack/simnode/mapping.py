"""The shared mapping that the simulated library reads, as hack/nvml/mapping.h lays it out."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path

from simnode.accounting import DEAD
from simnode.lives import entries
from simnode.mapping_layout import (
    ACCOUNT,
    FAILURE,
    GPU,
    HEADER,
    LAYOUT,
    MAGIC,
    PROCESS,
    SAMPLE,
    offset,
    packer,
    section,
)
from simnode.mapping_rows import (
    account_row,
    compute_instance_rows,
    counters_row,
    cuda_version,
    failure_row,
    failures,
    fixed,
    gpu_instance_rows,
    process_row,
    sample_row,
)
from simnode.sampling import SampledGpu, keeps_accounts
from simnode.world import Gpu, Node, ProcessSpec

_HEADER, _SAMPLE, _PROCESS, _ACCOUNT = packer(HEADER), packer(SAMPLE), packer(PROCESS), packer(ACCOUNT)
_GPU_SIZE = packer(GPU).size
_SEQUENCE = offset(GPU, "sequence")
_MOVING_AT = offset(GPU, "samples_taken")
_MOVING = section(GPU, "samples_taken", "compute_instances")
_NOW = offset(HEADER, "now_ns") // 8


class NodeMapping:
    """
    One node's mapping. It is written aside and appears under its name with appear().

    *ahead_ns* says by how much the node's wall clock is ahead; new samples are stamped by that clock.
    """

    def __init__(
        self, path: Path, node: Node, start_unix_ns: int, ahead_ns: Callable[[], int] = lambda: 0
    ) -> None:
        self._ahead_ns = ahead_ns
        self._path = path
        self._node = node
        self._start = start_unix_ns
        per_gpu = [sum(spec.gpu == gpu.index for spec in _specs(node)) for gpu in node.gpus]
        self._capacity = max(1, *per_gpu)
        kept = any(keeps_accounts(node, gpu) for gpu in node.gpus)
        self._accounts = self._capacity + DEAD if kept else 0
        self._depth = node.driver.ring_depth
        self._ring_at = _GPU_SIZE
        self._processes_at = self._ring_at + self._depth * _SAMPLE.size
        self._accounts_at = self._processes_at + self._capacity * _PROCESS.size
        block = self._accounts_at + self._accounts * _ACCOUNT.size
        self._stride = -(-block // 64) * 64
        self._failures = failures(node)
        self._header_size = _HEADER.size + len(self._failures) * packer(FAILURE).size
        size = self._header_size + len(node.gpus) * self._stride
        self._aside = path.with_name(path.name + ".new")
        self._aside.unlink(missing_ok=True)
        file = os.open(self._aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        try:
            os.fchmod(file, 0o644)
            os.ftruncate(file, size)
            self._map = mmap.mmap(file, size)
        finally:
            os.close(file)
        # Whole words, stored at once; readers rely on x86-64 keeping the order of stores.
        self._words = memoryview(self._map).cast("Q")
        self._published = [0] * len(node.gpus)
        self._seen: list[tuple[int, ...]] = [()] * len(node.gpus)
        self._write_fixed()

    def _write_fixed(self) -> None:
        driver = self._node.driver
        self._map[: _HEADER.size] = _HEADER.pack(
            MAGIC,
            LAYOUT,
            self._header_size,
            _GPU_SIZE,
            self._stride,
            len(self._node.gpus),
            self._depth,
            self._capacity,
            ("down", "nearest").index(driver.rounding),
            driver.sample_period_ns // 1000,
            cuda_version(driver.version),
            len(self._failures),
            driver.version.encode(),
            0,
            self._accounts,
        )
        self._put(_HEADER.size, b"".join(failure_row(failure) for failure in self._failures))
        for gpu in self._node.gpus:
            self._put(self._block(gpu), fixed(gpu, self._node))

    def _put(self, at: int, content: bytes) -> None:
        self._map[at : at + len(content)] = content

    def _block(self, gpu: Gpu) -> int:
        return self._header_size + gpu.index * self._stride

    def appear(self) -> None:
        """Puts the mapping under its name, whole."""
        self._aside.rename(self._path)

    def publish(self, sampled: SampledGpu) -> None:
        """Writes what changed of one GPU. Its counters move with the clock, even while it is idle."""
        gpu, now = sampled.gpu, sampled.activity.now
        index, at = gpu.index, self._block(sampled.gpu)
        self._words[_NOW] = max(now, self._words[_NOW])
        state = (now, sampled.taken, sampled.changes())
        if state == self._seen[index]:
            return
        self._seen[index] = state
        fresh = min(sampled.taken - self._published[index], len(sampled.ring))
        word = (at + _SEQUENCE) // 8
        ahead = self._ahead_ns()
        self._words[word] += 1
        for back in range(fresh, 0, -1):
            slot = (sampled.taken - back) % self._depth
            row = sample_row(sampled.ring[-back], self._start + ahead)
            self._put(at + self._ring_at + slot * _SAMPLE.size, row)
        processes = [process for _, process in sampled.living()]
        self._put(at + self._processes_at, b"".join(process_row(process) for process in processes))
        accounts = list(sampled.accounts.by_pid.values()) if sampled.accounts else []
        rows = b"".join(account_row(account, self._start) for account in accounts)
        self._put(at + self._accounts_at, rows)
        layout = gpu.layout(now)
        self._put(
            at + _MOVING_AT,
            _MOVING.pack(
                sampled.taken,
                sampled.energy_mj,
                sampled.memory_mib() << 20,
                sampled.ring[-1].power_mw if sampled.ring else gpu.idle_milliwatts,
                len(processes),
                layout is not None,
                sum(one.at_ns <= now for one in gpu.layouts),
                len(accounts),
                now,
                counters_row(sampled.counters()),
                gpu_instance_rows(sampled),
                compute_instance_rows(sampled),
            ),
        )
        self._words[word] += 1
        self._published[index] = sampled.taken


def _specs(node: Node) -> list[ProcessSpec]:
    return [spec for spec, _, _ in entries(node)]
