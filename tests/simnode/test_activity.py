"""Who has a GPU when: time is conserved, turns are fair, and how often one asks changes nothing."""

import random
from pathlib import Path

import pytest

from simnode.activity import Activity
from simnode.sampling import NO_PID, SampledGpu
from simnode.scenario import Node, load

SECOND = 10**9

PATTERNS = [
    "{pattern: constant, share: 0.3}",
    "{pattern: duty, on_ms: 130, period_ms: 400, phase_ms: 20}",
    "{pattern: bursts, on_ms: 90, every_ms: 400}",
    "{pattern: random, rate_hz: 20, mean_ms: 12}",
    "{pattern: none}",
]


def node(folder: Path, processes: list[str], driver: str = "", more: str = "") -> Node:
    lines = "".join(f"          - {{gpu: 0, {process}}}\n" for process in processes)
    file = folder / "s.yaml"
    file.write_text(
        "name: t\nclusters:\n  - name: c\n    nodes:\n      - name: n\n"
        f"        driver: {{{driver}}}\n{more}"
        "        gpus: [{model: NVIDIA H100 80GB HBM3, idle_watts: 100, busy_watts: 500}]\n"
        f"        host_processes:\n{lines}"
    )
    return load(file).clusters[0].nodes[0]


def times(activity: Activity) -> dict[int, int]:
    return {runner.process.pid: runner.in_window_ns for runner in activity.ran_in_window}


def shares(folder: Path, processes: list[str], seconds: int = 60, driver: str = "") -> list[float]:
    activity = Activity(node(folder, processes, driver), 0, 1)
    activity.advance(seconds * SECOND)
    found = times(activity)
    return [found[pid] / seconds / SECOND for pid in sorted(found)]


@pytest.mark.parametrize("seed", range(4))
def test_turns_conserve_time_and_steps_change_nothing(tmp_path, seed):
    chooser = random.Random(seed)
    specs = [f"busy: {chooser.choice(PATTERNS)}, start: {chooser.randint(0, 5000)}ms" for _ in range(9)]
    specs.append("busy: {pattern: constant, share: 1}, every: 3s, for: 1100ms")
    host = node(tmp_path, specs, "turn_ms: 3")
    at_once, in_steps = Activity(host, 0, seed), Activity(host, 0, seed)
    at_once.advance(20 * SECOND)
    while in_steps.now < 20 * SECOND:
        in_steps.advance(min(20 * SECOND, in_steps.now + chooser.randint(1, 70_000_000)))
    assert times(at_once) == times(in_steps)
    assert sum(times(at_once).values()) == at_once.busy_ns == in_steps.busy_ns
    assert 0 < at_once.busy_ns <= 20 * SECOND
    assert at_once.living.keys() == in_steps.living.keys()


def test_alone_everybody_gets_what_it_wants(tmp_path):
    assert shares(tmp_path, ["busy: {pattern: constant, share: 0.4}"]) == [0.4]
    assert shares(tmp_path, ["busy: {pattern: duty, on_ms: 600, period_ms: 1000}"]) == [0.6]
    assert shares(tmp_path, ["busy: {pattern: bursts, on_ms: 90, every_ms: 400}"], 600) == [
        pytest.approx(90 / 400, rel=0.05)
    ]
    assert shares(tmp_path, ["busy: {pattern: random, rate_hz: 20, mean_ms: 12}"], 600) == [
        pytest.approx(0.24, rel=0.05)
    ]


def test_several_take_turns(tmp_path):
    greedy = "busy: {pattern: constant, share: 1}"
    assert shares(tmp_path, [greedy] * 3) == [pytest.approx(1 / 3, abs=1e-3)] * 3
    modest = "busy: {pattern: constant, share: 0.08}"
    assert shares(tmp_path, [greedy, modest]) == [pytest.approx(0.92), pytest.approx(0.08)]
    # both want the same 600 ms of each second, and what is not served then is not served later
    assert (
        shares(tmp_path, ["busy: {pattern: duty, on_ms: 600, period_ms: 1000}"] * 2)
        == [pytest.approx(0.3)] * 2
    )


def test_a_process_runs_only_while_it_lives(tmp_path):
    spec = "busy: {pattern: constant, share: 1}, start: 3s, end: 7s"
    activity = Activity(node(tmp_path, [spec]), 0, 1)
    activity.advance(3 * SECOND)
    assert (activity.busy_ns, len(activity.living)) == (0, 1)
    activity.advance(10 * SECOND)
    assert (activity.busy_ns, len(activity.living)) == (4 * SECOND, 0)


def ring(
    folder: Path, processes: list[str], driver: str, seed: int = 1, until: int = 60 * SECOND
) -> SampledGpu:
    host = node(folder, processes, driver + ", ring_depth: 4096")
    sampled = SampledGpu(host, host.gpus[0], seed)
    sampled.advance(until)
    return sampled


DUTIES = [
    "pid: 11, busy: {pattern: duty, on_ms: 40, period_ms: 100}",
    "pid: 12, busy: {pattern: duty, on_ms: 20, period_ms: 100, phase_ms: 50}",
]


def test_samples_by_owner_rule(tmp_path):
    owned = {}
    for owner in ("proportional", "longest", "last", "instant"):
        sampled = ring(tmp_path, DUTIES, f"owner: {owner}, sample_period_ms: 100")
        assert {s.util_centi for s in sampled.ring} == {6000}
        owned[owner] = [
            sum(s.pid == pid for s in sampled.ring) / len(sampled.ring) for pid in (11, 12, NO_PID)
        ]
    assert owned["proportional"] == [pytest.approx(2 / 3, abs=0.05), pytest.approx(1 / 3, abs=0.05), 0]
    assert owned["longest"] == [1, 0, 0]
    assert 1 in owned["last"][:2]
    assert 1 in owned["instant"]


def test_the_seed_decides(tmp_path):
    busy = [f"busy: {pattern}" for pattern in PATTERNS]
    first, same, other = (ring(tmp_path, busy, "turn_ms: 2", seed) for seed in (1, 1, 2))
    assert (list(first.ring), first.energy_mj) == (list(same.ring), same.energy_mj)
    assert list(first.ring) != list(other.ring)


def test_samples_and_energy_add_up(tmp_path):
    sampled = ring(tmp_path, ["busy: {pattern: constant, share: 0.25}"], "sample_period_ms: 100")
    last = sampled.ring[-1]
    assert last.util_centi == 2500
    assert last.power_mw == 200_000
    assert sampled.energy_mj == pytest.approx(200 * last.stamp_ns / 10**6, rel=1e-3)


def test_a_node_that_was_up_before_has_a_full_ring(tmp_path):
    for booted, taken in (("-30m", 72), ("0s", 0)):
        host = node(tmp_path, ["busy: {pattern: none}"], more=f"        booted: {booted}\n")
        sampled = SampledGpu(host, host.gpus[0], 1)
        sampled.advance(0)
        assert abs(len(sampled.ring) - taken) <= 1
