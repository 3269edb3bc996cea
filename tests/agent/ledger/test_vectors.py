"""The worked cases of the ledger, to the integer."""

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from gpucost.apportion import apportion
from gpucost.cost_slice import CostSlice, Price
from gpucost.identity import (
    HOST,
    REMAINDER,
    UNALLOCATED,
    UNATTRIBUTED,
    Device,
    Holder,
    HolderKind,
    NodeId,
    unobserved,
)
from gpucost.units import window_cost
from gpucost.window import Interval

from gpucost_agent.ledger.closing import GpuWindow, close
from gpucost_agent.ledger.layout import ComputeInstance, GpuInstance, Layout
from gpucost_agent.ledger.settle import Stretch, reserve_replicas

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "ledger-vectors.json").read_text())
NAMED = {"host": HOST, "unallocated": UNALLOCATED, "unattributed": UNATTRIBUTED}
GPU = "GPU-0"


def holder(name: str) -> Holder:
    if name.startswith("unobserved:"):
        return unobserved(name.partition(":")[2])
    return NAMED.get(name) or Holder(HolderKind.CONTAINER, container=name)


def name_of(row: CostSlice) -> str:
    key = row.key.holder
    if key.kind is HolderKind.UNOBSERVED:
        return f"unobserved:{key.reason}"
    return key.container or key.kind.value


def by_holder(values: Mapping[str, int]) -> dict[Holder, int]:
    return {holder(name): value for name, value in values.items()}


def stretch(case: dict[str, Any]) -> Stretch:
    return Stretch(
        case["length"],
        case["watched"],
        by_holder(case["reserved"]),
        by_holder(case["used"]),
        {holder(name): Fraction(*limit) for name, limit in case.get("limits", {}).items()},
        holder(case.get("free", "unallocated")),
    )


def layout(case: dict[str, Any]) -> Layout:
    if "instances" not in case:
        return Layout(case["length"], tuple(map(stretch, case["stretches"])))
    return Layout(
        case["length"],
        instances=tuple(
            GpuInstance(
                instance["gi"],
                instance["profile"],
                instance["placement"],
                instance["compute"],
                instance["memory"],
                tuple(
                    ComputeInstance(part["ci"], part["compute"], tuple(map(stretch, part["stretches"])))
                    for part in instance["compute_instances"]
                ),
            )
            for instance in case["instances"]
        ),
        compute_total=case["compute_total"],
        memory_total=case["memory_total"],
    )


def device(case: Any) -> Device:
    if case == "remainder":
        return Device(GPU, profile=REMAINDER)
    return Device(GPU, *case)


@pytest.mark.parametrize("case", VECTORS["apportion"])
def test_apportion(case: dict[str, Any]) -> None:
    assert apportion(case["total"], case["weights"]) == case["parts"]


@pytest.mark.parametrize("case", VECTORS["replicas"])
def test_replicas(case: dict[str, Any]) -> None:
    assert reserve_replicas(case["T"], case["n"], by_holder(case["held"])) == by_holder(case["reserved"])


@pytest.mark.parametrize("case", VECTORS["window_cost"])
def test_window_cost(case: dict[str, Any]) -> None:
    assert window_cost(case["price"], case["a"], case["b"]) == case["cost"]


@pytest.mark.parametrize("case", VECTORS["gpu_window"], ids=lambda case: case["name"])
def test_gpu_window(case: dict[str, Any]) -> None:
    rows = close(
        GpuWindow(
            NodeId("c", "n"),
            GPU,
            0,
            Interval(case["a"], case["b"]),
            tuple(map(layout, case["layouts"])),
        ),
        Price(case["price"]),
    )
    assert sum(row.cost.nanodollars for row in rows) == case["cost"]
    assert [
        {
            "device": row.key.device,
            "holder": name_of(row),
            "reserved": row.time.reserved_ns,
            "used": row.time.used_ns,
            "idle": row.time.idle_ns,
            "unmeasured": row.time.unmeasured_ns,
            "cost_used": row.cost.used_nanodollars,
            "cost_idle": row.cost.idle_nanodollars,
            "cost_unmeasured": row.cost.unmeasured_nanodollars,
            "cost_reserved": row.cost.reserved_nanodollars,
        }
        for row in rows
    ] == [{**expected, "device": device(expected["device"])} for expected in case["slices"]]


def test_there_are_cases() -> None:
    assert {name: len(cases) for name, cases in VECTORS.items() if name != "about"} == {
        "apportion": 8,
        "replicas": 4,
        "window_cost": 12,
        "gpu_window": 46,
    }
