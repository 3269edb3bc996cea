"""Devices in words: a GPU is a board, and a MIG device is never counted as one."""

from collections import Counter
from collections.abc import Iterable

from gpucost import format as fmt

from gpucost_aggregator.reports.holding import Holding


def count_devices(holdings: Iterable[Holding]) -> str:
    """How many there are, each counted once: ``3 GPUs``, ``1 GPU and 2 MIG devices``."""
    whole: set[tuple[str, ...]] = set()
    parts: set[tuple[str, ...]] = set()
    for holding in holdings:
        (whole if holding.is_whole else parts).add(holding.device)
    said = [fmt.count(len(whole), "GPU")] if whole or not parts else []
    return fmt.names([*said, fmt.count(len(parts), "MIG device")] if parts else said)


def kinds_of_devices(models: Iterable[tuple[Holding, str]]) -> str:
    """Devices with their boards' models, by kind: ``2 × H100 80 GB``, ``1 × MIG 3g.40gb of H100 80 GB``."""
    kinds = Counter(
        kind for _, kind in {(holding.device, _kind(holding, model)) for holding, model in models}
    )
    return ", ".join(
        f"{number} × {kind}" for kind, number in sorted(kinds.items(), key=lambda each: -each[1])
    )


def place_of(holding: Holding, model: str) -> tuple[str, str]:
    """Where a device is, and what tells it from its like there: a board by its UUID, a part by its place on one."""
    if holding.is_whole:
        return f"{holding.node} · {board(model)}", f"{holding.cluster} · {holding.gpu_uuid}"
    numbers = "/".join(number for number in (holding.gi, holding.ci) if number)
    details = [holding.node, *([f"instance {numbers}"] if numbers else []), board(model), holding.cluster]
    return holding.device_name, " · ".join(details)


def board(model: str) -> str:
    """A board's model for people."""
    return fmt.gpu_model(model) or "GPU"


def _kind(holding: Holding, model: str) -> str:
    return board(model) if holding.is_whole else f"{holding.part_name} of {board(model)}"
