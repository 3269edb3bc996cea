"""How a program ends, and what is said of it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.__main__ import conclusion
from demo.audit.books import Verdict
from demo.child import Child, Trouble
from demo.wish import ROOT, SCENARIOS

PARENT = """
import os, sys, time
from pathlib import Path
from demo.child import Child
from demo.wish import SCENARIOS
folder = Path(sys.argv[1])
user = ["--user", "nobody"] if os.geteuid() == 0 else []
played = ["--scenario", str(SCENARIOS / "demo.yaml"), "--state", str(folder / "sim"), *user]
simulator = Child("sim", ["simnode", "simulate", *played], os.environ, folder)
simulator.start()
simulator.ready()
print(simulator.process.pid, flush=True)
time.sleep(60)
"""
"""As root its child becomes another user, at which Linux forgets what was asked for."""


def is_alive(pid: int) -> bool:
    """A zombie is nobody."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_child_ends_with_a_demo_that_is_killed(tmp_path: Path) -> None:
    environ = os.environ | {"PYTHONPATH": str(ROOT / "hack")}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], env=environ, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
    deadline = time.monotonic() + 10
    while is_alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_its_end_has_a_reason_and_last_words_without_the_ready_line(tmp_path: Path) -> None:
    child = Child("cluster/north", ["http.server", "0", "--bind", "127.0.0.1"], os.environ, tmp_path)
    child.start()
    child.log.write_text('ready {"start_ns": 1}\nalas\n')
    child.kill()
    trouble = child.trouble("ended")
    assert trouble.reason == "the cluster north ended (signal 9): the run can not go on"
    assert trouble.last_words == ("alas",)
    assert str(trouble) == f"{trouble.reason}\nalas"


def test_the_verdict_of_a_run_that_could_not_go_on() -> None:
    trouble = Trouble("the simulator ended (signal 9): the run can not go on", ["alas"])
    reason = [f"FAILED: {trouble.reason}", "  alas"]
    assert conclusion(None, trouble) == reason
    *before, last = conclusion(Verdict(3, 1, 5, 5, 0, ()), trouble)
    assert before == reason
    assert last.startswith("until then right: 3 slices of 1 windows")
    assert conclusion(None, None) == []


@pytest.mark.parametrize(("scenario", "exit_code"), [("demo.yaml", 0), ("no-such.yaml", 2)])
def test_the_simulator_only_checks_a_scenario(scenario: str, exit_code: int) -> None:
    environ = os.environ | {"PYTHONPATH": str(ROOT / "hack")}
    done = subprocess.run(
        [sys.executable, "-m", "simnode", "check", "--scenario", str(SCENARIOS / scenario)],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert bool(exit_code) == (f"{scenario}:1:1:" in done.stderr)
