"""The simulator as a process: it catches up, tells the exact truth, and keeps it to itself."""

import json
import os
import pwd
import signal
import stat
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

HACK = Path(__file__).resolve().parents[2] / "hack"
SECOND = 10**9

SCENARIO = """\
name: t
window_seconds: 10
clusters:
  - name: c
    nodes:
      - name: n
        gpus: [{model: NVIDIA H100 80GB HBM3, replicas: 2}, {model: NVIDIA L4}]
        pods:
          - name: p
            namespace: a
            end: 25s
            containers:
              - {name: x, gpus: [{gpu: 0, replicas: 2}], processes: [
                  {gpu: 0, busy: {pattern: constant, share: 0.5}}, {gpu: 0, busy: {pattern: constant, share: 1}}]}
        host_processes:
          - {gpu: 1, busy: {pattern: random, rate_hz: 30, mean_ms: 9}}
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "simnode", "simulate", *arguments]


ENVIRONMENT = os.environ | {"PYTHONPATH": str(HACK)}


def simulate(folder: Path, start: int, *more: str) -> tuple[dict, list[dict]]:
    """Runs it until it is ready, ends it, and gives what it said and the truth."""
    folder.mkdir()
    (folder / "s.yaml").write_text(SCENARIO)
    chosen = ["--scenario", str(folder / "s.yaml"), "--state", str(folder / "state"), "--start", str(start)]
    truth = folder / "truth.jsonl"
    with subprocess.Popen(
        command(*chosen, "--truth", str(truth), *more), env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        word, facts = process.stdout.readline().split(maxsplit=1)
        assert word == "ready"
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    return json.loads(facts), [json.loads(line) for line in truth.read_text().splitlines()]


def test_the_truth_adds_up(tmp_path):
    start = time.time_ns() - 60 * SECOND
    facts, lines = simulate(tmp_path / "run", start)
    assert facts["start_ns"] == start
    assert [Path(node["mapping"]).exists() for node in facts["nodes"]] == [True]
    by_kind = defaultdict(list)
    for line in lines:
        by_kind[line["kind"]].append(line)
    uuids = facts["nodes"][0]["gpus"]
    end = by_kind["end"][0]["end_ns"]
    for uuid in uuids:
        windows = [line for line in by_kind["gpu"] if line["gpu_uuid"] == uuid]
        edges = [windows[0]["begin_ns"], *(line["end_ns"] for line in windows)]
        assert (edges[0], edges[-1]) == (start, end)
        assert all(edge % (10 * SECOND) == 0 for edge in edges[1:-1])
        for window in windows:
            parts = [
                line["busy_ns"]
                for line in by_kind["process"]
                if (line["gpu_uuid"], line["begin_ns"]) == (uuid, window["begin_ns"])
            ]
            assert sum(parts) == window["busy_ns"] <= window["end_ns"] - window["begin_ns"]
    first = [line for line in by_kind["gpu"] if line["gpu_uuid"] == uuids[0]]
    assert sum(line["busy_ns"] for line in first) == 25 * SECOND
    assert sum(line["held_ns"] for line in by_kind["hold"]) == 25 * SECOND
    assert {(line["pod"], tuple(line["replicas"])) for line in by_kind["hold"]} == {("p", (0, 1))}
    assert all(line["host"] == (line["gpu_uuid"] == uuids[1]) for line in by_kind["process"])


def test_the_same_seed_gives_the_same_truth(tmp_path):
    start = time.time_ns() - 60 * SECOND
    runs = [
        simulate(tmp_path / name, start, "--seed", seed)[1]
        for name, seed in (("a", "3"), ("b", "3"), ("c", "4"))
    ]
    horizon = start + 55 * SECOND
    first, same, other = ([line for line in run if line.get("end_ns", 0) <= horizon] for run in runs)
    assert first[1:] == same[1:]
    assert len(first) > 10
    assert [line.get("busy_ns") for line in first[1:]] != [line.get("busy_ns") for line in other[1:]]


def test_only_its_user_can_read_the_truth(tmp_path):
    simulate(tmp_path / "run", time.time_ns())
    facts = (tmp_path / "run/truth.jsonl").stat()
    assert stat.S_IMODE(facts.st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "run/state/c/n/nvml.map").stat().st_mode) == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_can_become_another_user(tmp_path):
    simulate(tmp_path / "run", time.time_ns() - 15 * SECOND, "--user", "nobody")
    assert (tmp_path / "run/truth.jsonl").stat().st_uid == pwd.getpwnam("nobody").pw_uid


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--scenario", "s.yaml"], "s.yaml:2:1: the scenario has no key `cluster`; did you mean `clusters`?"),
        (["--scenario", "s.yaml", "--start", "soon"], "--start must be a number of nanoseconds"),
        (["--scenario", "ok.yaml", "--user", "no-such-user"], "there is no user no-such-user"),
    ],
)
def test_what_cannot_be_run_is_refused(tmp_path, arguments, complaint):
    (tmp_path / "s.yaml").write_text("name: t\ncluster: []\n")
    (tmp_path / "ok.yaml").write_text(SCENARIO)
    ended = subprocess.run(
        command(*arguments, "--state", "state"),
        env=ENVIRONMENT,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert complaint in ended.stderr
