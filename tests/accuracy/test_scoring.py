"""The scorer's parts on a truth made by hand: who should pay what, what peers would say, and what theory gives."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from accuracy import expected, plan, rivals, theory, truth
from accuracy.expected import Time
from accuracy.looks import Looks, Stall
from accuracy.modes import Mode, mode_of
from accuracy.plan import GpuPlan
from accuracy.score import score
from accuracy.truth import Device, Who
from contracts.accuracy_by_hand import (
    LENGTH_S,
    MIG,
    NS,
    PARTED,
    SCENARIO,
    SHARED,
    START,
    UNSEEN,
    WHOLE,
    WINDOW_S,
    recording,
)

TIME = Time(START, START + LENGTH_S * NS, WINDOW_S * NS)
TRUTH = truth.read(recording().truth)
PLANS = plan.read(SCENARIO, TRUTH.run)


def who(pod: str) -> Who:
    return Who("container", "n", pod, f"uid-{pod}", "c")


def hold(
    pod: str, begin_s: float, end_s: float, replicas: int = 1, of: int = 1, **more: Any
) -> dict[str, Any]:
    since, until = START + round(begin_s * NS), START + round(end_s * NS)
    names = {"namespace": "n", "pod": pod, "pod_uid": f"uid-{pod}", "container": "c"}
    held = {"replicas": list(range(replicas)), "of_replicas": of, "since_ns": since, "until_ns": until}
    return {"kind": "hold", "gpu_uuid": WHOLE, "begin_ns": since, "end_ns": until, **names, **held, **more}


def work(pod: str, second: int, busy_ms: int, **more: Any) -> dict[str, Any]:
    begin = START + second * NS
    names = {"namespace": "n", "pod": pod, "pod_uid": f"uid-{pod}", "container": "c", "host": False, "pid": 7}
    at = {"gpu_uuid": WHOLE, "begin_ns": begin, "end_ns": begin + NS}
    return {"kind": "process", **at, **names, "busy_ns": busy_ms * 10**6, **more}


def charged(lines: list[dict[str, Any]], plans: Mapping[str, GpuPlan] = PLANS) -> dict[str, float]:
    """Seconds that each pod should pay of ten."""
    record = truth.read([TRUTH.run, *lines])
    dues = expected.expect(record, dict(plans), Time(START, START + 10 * NS, 10 * NS))
    return {
        whose.pod or whose.kind: round(sum(due.charged_ns for due in windows.values()) / NS, 6)
        for (_, whose), windows in dues.items()
    }


def test_each_device_has_a_mode_by_its_own_keys() -> None:
    names = {
        key.gpu_uuid: mode_of(key, TRUTH.devices[key], PLANS[key.gpu_uuid]).name for key in TRUTH.devices
    }
    assert names == {
        WHOLE: "exclusive_gpm",
        SHARED: "time_slicing",
        PARTED: "mig_ampere_alone",
        UNSEEN: "no_process_source",
    }


def test_who_bursts_pays_for_it_and_the_others_less() -> None:
    lines = [hold("a", 0, 10, of=2), hold("b", 0, 10, of=2)]
    lines += [work("a", second, 600) for second in range(10)] + [
        work("b", second, 100) for second in range(10)
    ]
    assert charged(lines) == {"a": 6, "b": 4, "unallocated": 0}


def test_a_change_of_holders_cuts_a_stretch() -> None:
    assert charged([hold("a", 0, 2.5), hold("b", 4, 10)]) == {"a": 2.5, "b": 6, "unallocated": 1.5}


def test_a_second_that_a_holder_shares_with_the_one_before_is_its_own_use() -> None:
    record = truth.read([TRUTH.run, hold("a", 0, 2.5), work("a", 2, 400)])
    device = record.devices[Device(WHOLE)]
    assert device.used(who("a"), START, START + 3 * NS) == 400_000_000
    assert device.used(who("a"), START + 2 * NS, START + 2 * NS + NS // 4) == 200_000_000


def test_more_than_there_is_is_scaled_down() -> None:
    assert charged([hold("a", 0, 10, claim="x"), hold("b", 0, 10, claim="x")])["a"] == 5
    shares = charged([hold("a", 0, 10, share=0.25), hold("b", 0, 10, share=0.5)])
    assert shares == {"a": 2.5, "b": 5, "unallocated": 2.5}


def test_a_shadow_pays_for_what_it_used() -> None:
    assert charged([hold("a", 0, 10), *(work("shadow", second, 300) for second in range(10))]) == {
        "a": 7,
        "shadow": 3,
        "unallocated": 0,
    }


def test_mps_lets_each_use_its_part_only() -> None:
    lines = [hold(pod, 0, 10, of=2) for pod in "ab"]
    lines += [work("a", second, 900, threads=0.5) for second in range(10)]
    record = truth.read([TRUTH.run, *lines])
    dues = expected.expect(record, PLANS, Time(START, START + 10 * NS, 10 * NS))
    assert dues[Device(WHOLE), who("a")][START].used_ns == 4.5 * NS
    assert charged(lines)["a"] == 5


def test_instances_weigh_by_the_larger_of_their_slices_and_are_scaled_to_one_gpu() -> None:
    text = SCENARIO.replace(
        "{instances: [{gi: 1, profile: 7g.80gb}]}",
        "{instances: [{gi: 1, profile: 4g.40gb}, {gi: 2, profile: 3g.40gb}]}",
    )
    gpu = plan.read(text, TRUTH.run)[PARTED]
    weights = [
        expected.weight_of(Device(PARTED, gi, 0, name), gpu, START)
        for gi, name in ((1, "4g.40gb"), (2, "3g.40gb"))
    ]
    assert weights == [pytest.approx(8 / 15), pytest.approx(7 / 15)]
    assert expected.weight_of(Device(PARTED, 1, 0, "2g.20gb"), gpu, START) is None
    assert expected.weight_of(Device(PARTED, **MIG), PLANS[PARTED], START) == 1


def test_a_truth_that_is_not_told_by_the_second_is_refused() -> None:
    with pytest.raises(ValueError, match="by the second"):
        truth.read([{**TRUTH.run, "window_seconds": 10}])
    with pytest.raises(ValueError, match="no beginning"):
        truth.read(recording().truth[1:])


def test_what_peers_say() -> None:
    scrapes = recording().peers
    gauges = rivals.gauges(TRUTH, scrapes, TIME, 15 * NS)
    assert gauges[Device(SHARED), who("small")] == gauges[Device(SHARED), who("big")] == 0.7 * 15 * NS
    last = rivals.last_seconds(TRUTH, scrapes, TIME, 15 * NS)
    assert last[Device(SHARED), who("small")] == 0.1 * 15 * NS
    assert last[Device(UNSEEN), who("left")] is None
    assert gauges[Device(PARTED, **MIG), who("part")] is None
    requests = rivals.requests(TRUTH, TIME)
    assert requests[Device(SHARED), who("small")] == LENGTH_S * NS
    assert requests[Device(PARTED, **MIG), who("part")] == 0


def test_a_window_that_nobody_watched_is_left_out_of_use_and_counted() -> None:
    whole = recording()
    rows = [dict(row) for row in whole.slices]
    for row in rows[:3]:
        if row["pod"] == "big":
            row["idle_ns"], row["unmeasured_ns"] = "0", str(NS)
    mode = score(replace(whole, slices=tuple(rows)), SCENARIO).modes["time_slicing"]
    assert (mode.left_out, mode.windows, mode.unmeasured_ns) == (1, 2, NS)
    assert {line.watched_ns for line in mode.lines} == {10 * NS}


RING, PROCESSES = Mode("x", "sampled", ("ring",)), Mode("x", "sampled", ("ring_process",))


def spread(errors: list[float]) -> tuple[float, float]:
    mean = sum(errors) / len(errors)
    return mean, (sum((error - mean) ** 2 for error in errors) / len(errors)) ** 0.5


def test_theory_of_one_alone_is_whole_percents() -> None:
    mean, deviation = spread(theory.errors(PLANS[WHOLE], Device(WHOLE), RING, TIME))
    assert -0.01 < mean < 0.001
    assert deviation < 0.002


def test_theory_of_a_shared_gpu_is_binomial() -> None:
    errors = theory.errors(PLANS[SHARED], Device(SHARED), PROCESSES, TIME)
    assert len(errors) == 2 * theory.draws(TIME)
    samples = LENGTH_S * NS / PLANS[SHARED].driver.period_ns
    _, deviation = spread(errors)
    assert deviation == pytest.approx((0.1 * 0.6 / samples) ** 0.5, rel=0.4)


def test_there_is_no_theory_where_nobody_works() -> None:
    assert theory.errors(PLANS[WHOLE], Device(WHOLE, 9, 9), RING, TIME) == []


def test_who_changes_while_the_agent_does_not_look_is_told_apart() -> None:
    changing = [
        dict(line)
        for line in recording().truth
        if line.get("pod") != "big" or line["begin_ns"] < START + 10 * NS
    ]
    stall = Stall("node", START + 9 * NS, START + 12 * NS)
    for stalls, held_up in (((), False), ((stall,), True), ((replace(stall, node="other"),), False)):
        mode = score(replace(recording(), truth=tuple(changing), stalls=stalls), SCENARIO).modes[
            "time_slicing"
        ]
        assert {line.held_up for line in mode.lines} == {held_up}


def test_looks_that_are_far_apart_are_stalls_and_the_farthest_a_trouble() -> None:
    looks = Looks()
    for at in (100.0, 101.0, 103.5, 109.0):
        looks.heard("node", {"GPU-a": at})
    assert looks.stalls == {
        Stall("node", 101 * NS, round(103.5 * NS)),
        Stall("node", round(103.5 * NS), 109 * NS),
    }
    assert "5.5 s" in looks.troubles()[0]
    looks.begin()
    assert not looks.stalls
    assert looks.troubles() == ()
