"""How GPU models can be partitioned.

Slices, SMs, engines and memory as `nvidia-smi mig -lgip` prints them, and the tables of the MIG user guide
(docs.nvidia.com/datacenter/tesla/mig-user-guide). What differs between drivers by some MiB is one driver's.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """*number* is NVML's constant, *id* the driver's; *starts* are its places in memory slices."""

    name: str
    number: int
    id: int
    slices: int
    size: int
    memory_mib: int
    multiprocessors: int
    most: int
    copy_engines: int
    decoders: int
    jpegs: int
    ofas: int
    starts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Partitioning:
    """Totals of compute and memory slices, and the profiles by name."""

    slices: int
    memory_slices: int
    profiles: dict[str, Profile]


Kind = tuple[int, int, int, int, int, tuple[int, ...]]  # number, id, slices, memory slices, most, starts
_ANY, _EVEN, _LOW = (0, 1, 2, 3, 4, 5, 6), (0, 2, 4, 6), (0, 2, 4)
_SEVENTHS: tuple[Kind, ...] = (
    (0, 19, 1, 1, 7, _ANY),
    (7, 20, 1, 1, 1, _ANY),
    (9, 15, 1, 2, 4, _EVEN),
    (1, 14, 2, 2, 3, _LOW),
    (2, 9, 3, 4, 2, (0, 4)),
    (3, 5, 4, 4, 1, (0,)),
    (4, 0, 7, 8, 1, (0,)),
)
_QUARTERS: tuple[Kind, ...] = (
    (0, 14, 1, 1, 4, (0, 1, 2, 3)),
    (7, 21, 1, 1, 1, (0, 1, 2, 3)),
    (1, 5, 2, 2, 2, (0, 2)),
    (8, 6, 2, 2, 1, (0, 2)),
    (3, 0, 4, 4, 1, (0,)),
)
Engines = tuple[tuple[int, int, int, int], ...]  # copy engines, decoders, JPEG, OFA
_A100: Engines = (
    (1, 0, 0, 0),
    (1, 1, 1, 1),
    (1, 1, 0, 0),
    (2, 1, 0, 0),
    (3, 2, 0, 0),
    (4, 2, 0, 0),
    (7, 5, 1, 1),
)
_H100: Engines = (
    (1, 1, 1, 0),
    (1, 1, 1, 1),
    (1, 1, 1, 0),
    (2, 2, 2, 0),
    (3, 3, 3, 0),
    (4, 4, 4, 0),
    (8, 7, 7, 1),
)
_B200: Engines = (
    (2, 1, 1, 0),
    (2, 1, 1, 1),
    (2, 1, 1, 0),
    (3, 1, 1, 0),
    (6, 1, 1, 0),
    (8, 1, 1, 0),
    (16, 1, 1, 1),
)
_A30: Engines = ((1, 1, 0, 0), (1, 1, 1, 1), (2, 2, 0, 0), (2, 2, 1, 1), (4, 4, 1, 1))
_A100_SMS, _H100_SMS = (14, 14, 14, 28, 42, 56, 98), (16, 16, 26, 32, 60, 64, 132)
_B200_SMS = (18, 18, 30, 36, 70, 72, 148)


def _partitioning(
    kinds: tuple[Kind, ...], names: str, gib: tuple[float, ...], sms: tuple[int, ...], engines: Engines
) -> Partitioning:
    found: dict[str, Profile] = {}
    for kind, name, memory, processors, extra in zip(kinds, names.split(), gib, sms, engines, strict=True):
        number, id_, slices, size, most, starts = kind
        found[name] = Profile(
            name, number, id_, slices, size, int(memory * 1024), processors, most, *extra, starts
        )
    return Partitioning(kinds[-1][2], kinds[-1][3], found)


_A100_40 = _partitioning(
    _SEVENTHS,
    "1g.5gb 1g.5gb+me 1g.10gb 2g.10gb 3g.20gb 4g.20gb 7g.40gb",
    (4.75, 4.75, 9.75, 9.75, 19.62, 19.62, 39.5),
    _A100_SMS,
    _A100,
)
_A100_80 = _partitioning(
    _SEVENTHS,
    "1g.10gb 1g.10gb+me 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb",
    (9.5, 9.5, 19.5, 19.5, 39.25, 39.25, 78.75),
    _A100_SMS,
    _A100,
)
_H100_80 = _partitioning(
    _SEVENTHS,
    "1g.10gb 1g.10gb+me 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb",
    (9.75, 9.75, 19.62, 19.62, 39.5, 39.5, 79.25),
    _H100_SMS,
    _H100,
)
_H100_94 = _partitioning(
    _SEVENTHS,
    "1g.12gb 1g.12gb+me 1g.24gb 2g.24gb 3g.47gb 4g.47gb 7g.94gb",
    (10.75, 10.75, 22.0, 22.0, 46.0, 46.0, 92.5),
    _H100_SMS,
    _H100,
)
_H200_141 = _partitioning(
    _SEVENTHS,
    "1g.18gb 1g.18gb+me 1g.35gb 2g.35gb 3g.71gb 4g.71gb 7g.141gb",
    (16.0, 16.0, 32.5, 32.5, 69.75, 69.75, 139.25),
    _H100_SMS,
    _H100,
)
_B200_180 = _partitioning(
    _SEVENTHS,
    "1g.23gb 1g.23gb+me 1g.45gb 2g.45gb 3g.90gb 4g.90gb 7g.180gb",
    (21.5, 21.5, 43.5, 43.5, 88.0, 88.0, 177.0),
    _B200_SMS,
    _B200,
)
_GB200_186 = _partitioning(
    _SEVENTHS,
    "1g.23gb 1g.23gb+me 1g.47gb 2g.47gb 3g.93gb 4g.93gb 7g.186gb",
    (22.0, 22.0, 45.0, 45.0, 91.0, 91.0, 183.0),
    _B200_SMS,
    _B200,
)
_A30_24 = _partitioning(
    _QUARTERS,
    "1g.6gb 1g.6gb+me 2g.12gb 2g.12gb+me 4g.24gb",
    (5.81, 5.81, 11.69, 11.69, 23.44),
    (14, 14, 28, 28, 56),
    _A30,
)

PARTITIONINGS = {
    "NVIDIA A100-SXM4-40GB": _A100_40,
    "NVIDIA A100-PCIE-40GB": _A100_40,
    "NVIDIA A100-SXM4-80GB": _A100_80,
    "NVIDIA A100 80GB PCIe": _A100_80,
    "NVIDIA H100 80GB HBM3": _H100_80,
    "NVIDIA H100 PCIe": _H100_80,
    "NVIDIA H100 NVL": _H100_94,
    "NVIDIA H200": _H200_141,
    "NVIDIA B200": _B200_180,
    "NVIDIA GB200": _GB200_186,
    "NVIDIA A30": _A30_24,
}

UNKNOWN = Partitioning(7, 8, {})
"""What a model has whose profiles are not known: as many slices as nearly all, each profile to be spelled out."""


def partitioning(model: str) -> Partitioning:
    return PARTITIONINGS.get(model, UNKNOWN)
