"""GPU models whose memory and capability are known, as NVML spells them."""

from __future__ import annotations

from dataclasses import dataclass

AMPERE, ADA, HOPPER, BLACKWELL, TURING, VOLTA = 7, 8, 9, 10, 6, 5
"""NVML's own numbers of architectures."""


@dataclass(frozen=True, slots=True)
class Board:
    """What NVML says of a model, apart from what the scenario sets."""

    memory_mib: int | None
    architecture: int
    capability: tuple[int, int]
    pci_device_id: int
    mig_capable: bool


_H100 = (HOPPER, (9, 0))
_A100 = (AMPERE, (8, 0))

BOARDS: dict[str, Board] = {
    "NVIDIA H100 80GB HBM3": Board(81559, *_H100, 0x233010DE, True),
    "NVIDIA H100 PCIe": Board(81559, *_H100, 0x233110DE, True),
    "NVIDIA H100 NVL": Board(95830, *_H100, 0x232110DE, True),
    "NVIDIA H200": Board(143771, *_H100, 0x233510DE, True),
    "NVIDIA A100-SXM4-80GB": Board(81920, *_A100, 0x20B210DE, True),
    "NVIDIA A100-SXM4-40GB": Board(40960, *_A100, 0x20B010DE, True),
    "NVIDIA A100 80GB PCIe": Board(81920, *_A100, 0x20B510DE, True),
    "NVIDIA A100-PCIE-40GB": Board(40960, *_A100, 0x20F110DE, True),
    "NVIDIA A30": Board(24576, *_A100, 0x20B710DE, True),
    "NVIDIA A10": Board(23028, AMPERE, (8, 6), 0x223610DE, False),
    "NVIDIA A10G": Board(23028, AMPERE, (8, 6), 0x223710DE, False),
    "NVIDIA L4": Board(23034, ADA, (8, 9), 0x27B810DE, False),
    "NVIDIA L40S": Board(46068, ADA, (8, 9), 0x26B910DE, False),
    "NVIDIA B200": Board(183359, BLACKWELL, (10, 0), 0x290110DE, True),
    "NVIDIA GB200": Board(189471, BLACKWELL, (10, 0), 0x294110DE, True),
    "Tesla T4": Board(15360, TURING, (7, 5), 0x1EB810DE, False),
    "Tesla V100-SXM2-16GB": Board(16384, VOLTA, (7, 0), 0x1DB110DE, False),
}

UNKNOWN = Board(None, HOPPER, (9, 0), 0x000010DE, False)


def board(model: str) -> Board:
    """The model's board; a model that is not known has no memory of its own and no MIG."""
    return BOARDS.get(model, UNKNOWN)
