"""Reads a node's mapping while it is played: counters of every engine, for those who are not the driver's library."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simnode.mapping_layout import (
    COMPUTE_INSTANCE,
    COUNTERS,
    GPU,
    GPU_INSTANCE,
    HEADER,
    LAYOUT,
    MAGIC,
    Fields,
    offset,
    packer,
)

Row = dict[str, Any]

_TRIES = 1000


@dataclass(frozen=True, slots=True)
class EngineCounters:
    """
    A whole GPU, or one compute instance of a GPU that is partitioned now, at one instant of the simulation.

    Nanoseconds are since the simulation's start. A compute instance's count of its own work; memory is that of
    its GPU instance, energy and power those of its GPU.
    """

    gpu: int
    gi: int | None
    ci: int | None
    uuid: str
    as_of_ns: int
    busy_ns: int
    sm_ns: int
    tensor_ns: int
    dram_ns: int
    memory_used: int
    memory_total: int
    energy_mj: int
    power_mw: int


def read(path: Path) -> tuple[EngineCounters, ...]:
    """All engines that there are now, each GPU's consistent. Raises OSError, or ValueError for another layout."""
    with path.open("rb", buffering=0) as file:
        header = _row(HEADER, file.read(packer(HEADER).size))
        if (header["magic"], header["layout"]) != (MAGIC, LAYOUT):
            raise ValueError(f"{path} is not a mapping of layout {LAYOUT}")
        found: list[EngineCounters] = []
        for index in range(header["gpu_count"]):
            at = header["header_size"] + index * header["gpu_stride"]
            for _ in range(_TRIES):
                file.seek(at)
                block = file.read(packer(GPU).size)
                gpu = _row(GPU, block)
                file.seek(at + offset(GPU, "sequence"))
                if gpu["sequence"] % 2 == 0 and int.from_bytes(file.read(8), "little") == gpu["sequence"]:
                    break
                time.sleep(0.0005)
            else:
                raise ValueError(f"{path} is half written for too long; its simulator may have died")
            found += _engines(index, gpu)
    return tuple(found)


def _engines(index: int, gpu: Row) -> list[EngineCounters]:
    if not gpu["mig"]:
        memory = gpu["memory_used"], gpu["memory_total"]
        return [_engine(gpu, (index, None, None, _text(gpu["uuid"])), gpu["counters"], memory)]
    homes = {row["gi"]: row for row in _rows(GPU_INSTANCE, gpu["gpu_instances"])}
    return [
        _engine(
            gpu,
            (index, row["gi"], row["ci"], _text(row["uuid"])),
            row["counters"],
            (homes[row["gi"]]["memory_used"], homes[row["gi"]]["memory_total"]),
        )
        for row in _rows(COMPUTE_INSTANCE, gpu["compute_instances"])
    ]


def _engine(
    gpu: Row, who: tuple[int, int | None, int | None, str], counters: bytes, memory: tuple[int, int]
) -> EngineCounters:
    work = packer(COUNTERS).unpack(counters)
    return EngineCounters(*who, gpu["counted_ns"], *work, *memory, gpu["energy_mj"], gpu["power_mw"])


def _row(fields: Fields, content: bytes) -> Row:
    names = [name for name, code in fields if not code.endswith("x")]
    return dict(zip(names, packer(fields).unpack(content), strict=True))


def _rows(fields: Fields, content: bytes) -> list[Row]:
    """Of an array, without its empty slots."""
    size = packer(fields).size
    rows = [_row(fields, content[at : at + size]) for at in range(0, len(content), size)]
    return [row for row in rows if row["number"]]


def _text(content: bytes) -> str:
    return content.rstrip(b"\0").decode()
