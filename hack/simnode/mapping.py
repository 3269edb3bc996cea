"""The shared mapping that the simulated library reads; its layout mirrors hack/nvml/mapping.h."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

from simnode.boards import board
from simnode.lives import entries
from simnode.sampling import Sample, SampledGpu
from simnode.world import Gpu, Node, ProcessSpec

MAGIC = int.from_bytes(b"NVMLSIM1", "little")
LAYOUT = 1

HEADER = (
    ("magic", "Q"),
    ("layout", "I"),
    ("header_size", "I"),
    ("gpu_size", "I"),
    ("gpu_stride", "I"),
    ("gpu_count", "I"),
    ("ring_depth", "I"),
    ("process_capacity", "I"),
    ("rounding", "I"),
    ("sample_period_us", "Q"),
    ("cuda_version", "I"),
    ("reserved", "4x"),
    ("driver_version", "32s"),
    ("spare", "168x"),
)
GPU = (
    ("uuid", "48s"),
    ("name", "96s"),
    ("minor", "I"),
    ("architecture", "I"),
    ("capability_major", "I"),
    ("capability_minor", "I"),
    ("pci_bus", "I"),
    ("pci_device_id", "I"),
    ("mig_capable", "I"),
    ("power_limit_mw", "I"),
    ("memory_total", "Q"),
    ("sequence", "Q"),
    ("samples_taken", "Q"),
    ("energy_mj", "Q"),
    ("memory_used", "Q"),
    ("power_mw", "I"),
    ("process_count", "I"),
    ("spare", "144x"),
)
SAMPLE = (("stamp_us", "Q"), ("util_centi", "I"), ("pid", "I"), ("power_mw", "I"), ("reserved", "4x"))
PROCESS = (("pid", "I"), ("reserved", "4x"), ("memory_used", "Q"))

Fields = tuple[tuple[str, str], ...]


def packer(fields: Fields) -> struct.Struct:
    return struct.Struct("<" + "".join(code for _, code in fields))


def offset(fields: Fields, name: str) -> int:
    before = [code for _, code in fields[: [field for field, _ in fields].index(name)]]
    return struct.calcsize("<" + "".join(before))


_HEADER, _SAMPLE, _PROCESS = packer(HEADER), packer(SAMPLE), packer(PROCESS)
_GPU_SIZE = packer(GPU).size
_SEQUENCE = offset(GPU, "sequence")
_FIXED = packer(GPU[: [name for name, _ in GPU].index("sequence")])
_MOVING_AT = offset(GPU, "samples_taken")
_MOVING = struct.Struct("<QQQII")

_CUDA = ((590, 13010), (580, 13000), (570, 12080), (565, 12070), (560, 12060), (555, 12050), (550, 12040))


def cuda_version(driver: str) -> int:
    """The CUDA version that a driver branch brought."""
    branch = int(driver.partition(".")[0])
    return next((cuda for first, cuda in _CUDA if branch >= first), 12020 if branch >= 535 else 11040)


class NodeMapping:
    """One node's mapping. It is written aside and appears under its name with appear()."""

    def __init__(self, path: Path, node: Node, start_unix_ns: int) -> None:
        self._path = path
        self._node = node
        self._start = start_unix_ns
        per_gpu = [sum(spec.gpu == gpu.index for spec in _specs(node)) for gpu in node.gpus]
        self._capacity = max(1, *per_gpu)
        self._depth = node.driver.ring_depth
        self._ring_at = _GPU_SIZE
        self._processes_at = self._ring_at + self._depth * _SAMPLE.size
        block = self._processes_at + self._capacity * _PROCESS.size
        self._stride = -(-block // 64) * 64
        size = _HEADER.size + len(node.gpus) * self._stride
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
        self._seen = [(-1, -1)] * len(node.gpus)
        self._write_fixed()

    def _write_fixed(self) -> None:
        driver = self._node.driver
        rounding = ("down", "nearest").index(driver.rounding)
        self._map[: _HEADER.size] = _HEADER.pack(
            MAGIC,
            LAYOUT,
            _HEADER.size,
            _GPU_SIZE,
            self._stride,
            len(self._node.gpus),
            self._depth,
            self._capacity,
            rounding,
            driver.sample_period_ns // 1000,
            cuda_version(driver.version),
            driver.version.encode(),
        )
        for gpu in self._node.gpus:
            at = self._block(gpu)
            self._map[at : at + _FIXED.size] = _fixed(gpu)

    def _block(self, gpu: Gpu) -> int:
        return _HEADER.size + gpu.index * self._stride

    def appear(self) -> None:
        """Puts the mapping under its name, whole."""
        self._aside.rename(self._path)

    def publish(self, sampled: SampledGpu) -> None:
        """Writes what changed of one GPU, if anything did."""
        index = sampled.gpu.index
        state = (sampled.taken, sampled.activity.changes)
        if state == self._seen[index]:
            return
        self._seen[index] = state
        at = self._block(sampled.gpu)
        fresh = min(sampled.taken - self._published[index], len(sampled.ring))
        word = (at + _SEQUENCE) // 8
        self._words[word] += 1
        for back in range(fresh, 0, -1):
            slot = at + self._ring_at + (sampled.taken - back) % self._depth * _SAMPLE.size
            self._map[slot : slot + _SAMPLE.size] = self._sample(sampled.ring[-back])
        processes = [runner.process for _, runner in sorted(sampled.activity.living.items())]
        rows = b"".join(_PROCESS.pack(process.pid, process.spec.memory_mib << 20) for process in processes)
        begin = at + self._processes_at
        self._map[begin : begin + len(rows)] = rows
        power = sampled.ring[-1].power_mw if sampled.ring else sampled.gpu.idle_milliwatts
        used = sampled.memory_mib() << 20
        begin = at + _MOVING_AT
        self._map[begin : begin + _MOVING.size] = _MOVING.pack(
            sampled.taken, sampled.energy_mj, used, power, len(processes)
        )
        self._words[word] += 1
        self._published[index] = sampled.taken

    def _sample(self, sample: Sample) -> bytes:
        stamp_us = (self._start + sample.stamp_ns) // 1000
        return _SAMPLE.pack(stamp_us, sample.util_centi, sample.pid, sample.power_mw)


def _fixed(gpu: Gpu) -> bytes:
    known = board(gpu.model)
    return _FIXED.pack(
        gpu.uuid.encode(),
        gpu.model.encode(),
        gpu.minor,
        known.architecture,
        *known.capability,
        0x10 + 3 * gpu.index,
        known.pci_device_id,
        known.mig_capable,
        gpu.busy_milliwatts,
        gpu.memory_mib << 20,
    )


def _specs(node: Node) -> list[ProcessSpec]:
    return [spec for spec, _, _ in entries(node)]
