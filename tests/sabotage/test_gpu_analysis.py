"""What `make gpu` makes of a driver: the four ways to name a sample's owner, rings that lose samples, known duties."""

import ctypes.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gpu.loads import DUTIES, SimulatedLoad, bursts
from gpu.owners import NOBODY, WAYS, Named, told_apart
from gpu.ring_polls import Polls, period_us
from gpu.timeline import Burst, Timeline
from proofs.proof import ROOT
from simnode.sampling import NO_PID, SampledGpu
from simnode.scenario import load

MS, S = 10**6, 10**9
SECONDS = 90
HAS_DRIVER = ctypes.util.find_library("nvidia-ml") is not None


def played(owner: str, tmp_path: Path, seed: int) -> tuple[list[Named], Timeline]:
    """The samples of a simulated driver under the load, in no time at all."""
    simulated = SimulatedLoad(SECONDS, owner, seed, tmp_path)
    file = tmp_path / "scenario.yaml"
    file.write_text(simulated.scenario())
    scenario = load(file, seed)
    (node,) = scenario.clusters[0].nodes
    sampled = SampledGpu(node, node.gpus[0], seed)
    begin_ns, end_ns = simulated.FIRST_S * S, (simulated.FIRST_S + SECONDS) * S
    period_ns = node.driver.sample_period_ns
    named: dict[int, Named] = {}
    for at_ns in range(begin_ns, end_ns, S):
        sampled.advance(at_ns)
        for sample in sampled.ring:
            if sample.stamp_ns > begin_ns + period_ns and sample.util_centi:
                owner_pid = NOBODY if sample.pid == NO_PID else sample.pid
                named[sample.stamp_ns] = Named(sample.stamp_ns - period_ns, sample.stamp_ns, owner_pid)
    did = {pid: bursts(duty, begin_ns, end_ns) for pid, duty in zip(SimulatedLoad.PIDS, DUTIES, strict=True)}
    return list(named.values()), Timeline(did)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("owner", WAYS)
def test_the_ways_to_name_an_owner_are_told_apart(owner: str, seed: int, tmp_path: Path) -> None:
    verdict = told_apart(*played(owner, tmp_path, seed))
    assert verdict.samples > 200
    assert verdict.way == owner, verdict.likelihoods


def test_too_few_samples_decide_nothing(tmp_path: Path) -> None:
    samples, timeline = played("proportional", tmp_path, 1)
    assert told_apart(samples[:3], timeline).way is None
    assert told_apart([], timeline).way is None


def test_owners_at_random_fit_no_way_but_the_fairest_one(tmp_path: Path) -> None:
    """A driver that names the other one each time is no 'last', 'instant' or 'longest'."""
    samples, timeline = played("longest", tmp_path, 1)
    other = {SimulatedLoad.PIDS[0]: SimulatedLoad.PIDS[1], SimulatedLoad.PIDS[1]: SimulatedLoad.PIDS[0]}
    turned = [Named(each.begin_ns, each.end_ns, other.get(each.owner, NOBODY)) for each in samples]
    assert told_apart(turned, timeline).way in (None, "proportional")


def test_time_that_several_want_is_shared() -> None:
    timeline = Timeline({1: [Burst(0, 100), Burst(200, 300)], 2: [Burst(50, 250)]})
    assert timeline.shares_ns(0, 300) == {1: 50 + 25 + 25 + 50, 2: 25 + 100 + 25}
    assert timeline.shares_ns(60, 70) == {1: 5, 2: 5}
    assert timeline.shares_ns(300, 400) == {}


def test_a_ring_that_lost_samples_is_seen() -> None:
    polls = Polls(8)
    polls.take([100, 200, 300])
    polls.take([])
    polls.take([800, 900, 1010])
    assert polls.missing(100.0) == 4
    assert polls.samples == 6
    assert period_us(polls.stamps) == 100
    assert period_us([1]) is None


def run(*words: str, **asked: str) -> subprocess.CompletedProcess[str]:
    folders = ":".join(str(ROOT / part) for part in ("hack", "proto", "agent", "aggregator"))
    environ = os.environ | {"PYTHONPATH": folders, **asked}
    return subprocess.run(
        [sys.executable, "-m", "gpu", *words],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def proof(name: str) -> Any:
    return json.loads((ROOT / "build" / "proofs" / f"{name}.json").read_text())


def test_all_of_it_against_the_simulated_driver() -> None:
    done = run("--simulated", "--owner", "last", SECONDS="20", SEED="1")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = proof("gpu-simulated")["figures"]
    assert figures["owner"]["way"] == "last"
    assert abs(figures["ring_hz"] - 1000 / 167) < 0.01
    assert figures["ring_depth"] == 72 or figures["ring_depth"] == 71
    assert all(cost is not None and 0 < cost < 10_000 for cost in figures["call_us"].values())
    assert [polls["missing"] for polls in figures["polls"]] == [0, 0, 0, 0]
    assert abs(figures["busy"]["ring"] - figures["busy"]["expected"]) < 0.03
    assert abs(figures["busy"]["gpm"] - figures["busy"]["expected"]) < 0.03
    assert sum(duty["measured"] for duty in figures["duty"]) == pytest.approx(
        figures["busy"]["ring"], abs=0.03
    )
    assert figures["after_exit"]["seconds_in_process_list"] < 1
    assert figures["after_exit"]["seconds_in_rows_of_whole_ring"] > 5


@pytest.mark.skipif(HAS_DRIVER, reason="there is a driver here")
def test_without_a_gpu_it_says_so() -> None:
    done = run()
    assert done.returncode == 3
    assert done.stderr.startswith("nothing was measured: ")


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_DRIVER, reason="there is no driver here")
def test_a_real_gpu() -> None:
    done = run(SECONDS="30")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = proof("gpu")["figures"]
    for duty in figures["duty"]:
        assert duty["measured"] == pytest.approx(duty["expected"], abs=0.2)
