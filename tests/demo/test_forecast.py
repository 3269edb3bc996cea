"""The check's own idea of a scenario, against what the simulator makes of it and against what theory says."""

from pathlib import Path

import pytest

from demo.audit import scenario
from demo.audit.forecast import Forecast
from demo.audit.scenario import NS, Driver, Gpu, Who, Work
from simnode.activity import Activity
from simnode.scenario import load

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = [ROOT / "hack" / "scenarios" / name for name in ("demo.yaml", "other.yaml")]
DRIVER = Driver(167_000_000, "proportional", "down", 2_000_000)
A, B = Who("container", "n", "a", "c"), Who("container", "n", "b", "c")


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.stem)
@pytest.mark.parametrize("seed", [3, 40])
def test_it_plays_a_scenario_as_the_simulator_does(file: Path, seed: int) -> None:
    played = load(file, seed)
    uuids = [
        {"cluster": c.name, "node": n.name, "gpus": [gpu.uuid for gpu in n.gpus]}
        for c in played.clusters
        for n in c.nodes
    ]
    mine = scenario.read(file.read_text(), {"start_ns": 0, "nodes": uuids})
    compared = 0
    for node in mine.nodes:
        theirs = played.cluster(node.cluster).node(node.name)
        for index, gpu in enumerate(node.gpus):
            forecast, activity = Forecast(gpu, node.driver), Activity(theirs, index, seed)
            before = 0
            for window in range(4):
                start, end = window * 10 * NS, (window + 1) * 10 * NS
                activity.advance(end)
                expected = forecast.of(start, end).device
                allowed = expected.noise_ns + 10_000_000
                assert abs(activity.busy_ns - before - expected.expected_ns) <= allowed
                before = activity.busy_ns
                compared += expected.expected_ns > 0
    assert compared > 8


def expect(*works: Work, seconds: int = 10) -> dict[Who, int]:
    forecast = Forecast(Gpu("GPU-x", "m", 2, (), works), DRIVER)
    return {who: use.expected_ns for who, use in forecast.of(0, seconds * NS).by_holder.items()}


def work(who: Who, **busy: object) -> Work:
    return Work(who, 0, 2**63, busy)


def test_two_that_want_everything_get_half_each() -> None:
    got = expect(work(A, pattern="constant", share=1.0), work(B, pattern="duty", on_ms=1000, period_ms=1000))
    assert got[A] + got[B] == 10 * NS
    assert abs(got[A] - got[B]) < NS // 10


def test_a_small_wish_is_served_beside_a_big_one() -> None:
    got = expect(work(A, pattern="constant", share=0.1), work(B, pattern="constant", share=1.0))
    assert abs(got[A] - NS) < NS // 50
    assert got[A] + got[B] == 10 * NS


def test_drawn_patterns_have_their_mean_and_a_spread() -> None:
    forecast = Forecast(
        Gpu("GPU-x", "m", 1, (), (work(A, pattern="bursts", on_ms=90, every_ms=400),)), DRIVER
    )
    use = forecast.of(0, 100 * NS).device
    assert abs(use.expected_ns - 22.5 * NS) < NS
    assert 0 < use.noise_ns < 5 * NS


def test_use_of_one_alone_is_known_to_a_percent() -> None:
    forecast = Forecast(Gpu("GPU-x", "m", 1, (), (work(A, pattern="constant", share=0.5),)), DRIVER)
    low, high = forecast.of(0, 10 * NS).device.range_ns
    assert 4.85 * NS < low <= 5 * NS <= high < 5.05 * NS


def test_whom_a_sample_names_is_chance_only_where_several_ran_in_it() -> None:
    forecast = Forecast(
        Gpu("GPU-x", "m", 2, (), (work(A, pattern="constant", share=0.4), work(B, pattern="none"))), DRIVER
    )
    uses = forecast.of(0, 10 * NS).by_holder
    assert uses[A].variance == uses[B].variance == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90 * NS), ("1m30s", 90 * NS), ("250ms", NS // 4), (1.5, 3 * NS // 2), ("-30m", -1800 * NS)],
)
def test_times(text: object, expected: int) -> None:
    assert scenario.offset_ns(text) == expected
