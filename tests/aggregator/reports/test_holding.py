"""What devices are called, and that a part of a board is never taken for one."""

import pytest

from gpucost_aggregator.reports.holding import Holding
from gpucost_aggregator.ui.devices import count_devices, kinds_of_devices, place_of

UUID = "GPU-5a5a7118-e550-79a1-597e-7631e126c570"
H100 = "NVIDIA H100 80GB HBM3"


def on(
    gi: str = "", ci: str = "", profile: str = "", *, uuid: str = UUID, container: str = "main"
) -> Holding:
    return Holding(
        "east", "node-1", uuid, gi, ci, profile, "", "container", "", "chat", "pod", "uid", container
    )


@pytest.mark.parametrize(
    ("holding", "name", "can_be_held"),
    [
        (on(), "GPU-5a5a71", True),
        (on("1", "0", "3g.40gb"), "MIG 3g.40gb · GPU-5a5a71", True),
        (on("0", "0", "1g.10gb+me"), "MIG 1g.10gb+me · GPU-5a5a71", True),
        (on("1", "", "3g.40gb"), "rest of MIG 3g.40gb · GPU-5a5a71", False),
        (on(profile="remainder"), "rest of GPU-5a5a71", False),
    ],
)
def test_a_device_has_one_short_name(holding: Holding, name: str, can_be_held: bool) -> None:
    assert holding.device_name == name
    assert holding.can_be_held is can_be_held


def test_a_mig_device_is_counted_as_no_gpu_and_once() -> None:
    one, other = on("1", "0", "3g.40gb"), on("2", "0", "3g.40gb")
    assert count_devices([]) == "0 GPUs"
    assert count_devices([on(), on(container="side"), on(uuid="GPU-2")]) == "2 GPUs"
    assert count_devices([one]) == "1 MIG device"
    assert count_devices([one, one, other, on(uuid="GPU-2")]) == "1 GPU and 2 MIG devices"


def test_devices_are_told_by_kind_and_place() -> None:
    one, other, whole = on("1", "0", "3g.40gb"), on("2", "0", "3g.40gb"), on(uuid="GPU-2")
    assert (
        kinds_of_devices([(one, H100), (other, H100), (one, H100), (whole, H100)])
        == "2 × MIG 3g.40gb of H100 80 GB HBM3, 1 × H100 80 GB HBM3"
    )
    assert kinds_of_devices([(whole, "")]) == "1 × GPU"
    assert place_of(on(), H100) == ("node-1 · H100 80 GB HBM3", f"east · {UUID}")
    assert place_of(one, H100)[1] == "node-1 · instance 1/0 · H100 80 GB HBM3 · east"
    assert place_of(on("1", "", "3g.40gb"), "")[1] == "node-1 · instance 1 · GPU · east"
