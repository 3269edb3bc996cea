"""How the demo ends when it is not let to its end."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, as sockets lie below; and whoever plays the simulator for root has to get in."""
    with tempfile.TemporaryDirectory(prefix="ends-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def started(folder: Path, **asked: str) -> Iterator[subprocess.Popen[str]]:
    """A demo that has said that everything is up; its temporary folder is made in *folder*/t."""
    own = {"PYTHONPATH": str(ROOT / "hack"), "PROOF": str(folder / "proof.json"), "TMPDIR": str(folder / "t")}
    (folder / "t").mkdir()
    environ = {name: value for name, value in os.environ.items() if name not in ("CI", "DEMO_BEGAN")}
    with subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        env=environ | own | asked,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as demo:
        try:
            assert demo.stdout is not None
            said: list[str] = []
            while not (said and said[-1].startswith("started")):
                said.append(demo.stdout.readline())
                assert said[-1], said
            yield demo
        finally:
            demo.kill()


def children(parent: int) -> dict[int, str]:
    """The command lines of who runs as its child."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, its_parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(its_parent) == parent and state != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.mark.parametrize(("asked", "proves"), [({}, False), ({"SECONDS": "40"}, True)])
def test_ctrl_c_before_the_first_window(folder: Path, asked: dict[str, str], proves: bool) -> None:
    with started(folder, **asked) as demo:
        demo.send_signal(signal.SIGINT)
        said, _ = demo.communicate(timeout=90)
    assert demo.returncode == 130, said
    assert said.startswith("ended before the first window was closed\n")
    assert "WRONG" not in said
    assert ("FAILED" in said) == proves
    assert list((folder / "t").iterdir()) == []
    proof = folder / "proof.json"
    assert proof.exists() == proves
    assert not proves or json.loads(proof.read_text())["passed"] is False


@pytest.mark.parametrize(
    ("victim", "name"), [("simnode simulate", "simulator"), ("simnode node", "cluster prod-us")]
)
def test_a_simulator_that_is_killed_is_the_reason(folder: Path, victim: str, name: str) -> None:
    with started(folder) as demo:
        os.kill(min(pid for pid, line in children(demo.pid).items() if victim in line), signal.SIGKILL)
        said, _ = demo.communicate(timeout=90)
    assert demo.returncode == 1, said
    reason = f"the {name} ended (signal 9): the run can not go on"
    assert said.startswith(f"FAILED: {reason}\n")
    assert "ready {" not in said
    assert json.loads((folder / "proof.json").read_text())["trouble"].startswith(reason)


def test_nobody_outlives_a_demo_that_is_killed(folder: Path) -> None:
    with started(folder) as demo:
        there = children(demo.pid)
        assert len(there) == 6
        demo.kill()
        demo.wait()
        deadline = time.monotonic() + 10
        while any(line in children_of_all() for line in there.values()):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def children_of_all() -> set[str]:
    """The command lines of everybody who runs."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.add(file.read_text().replace("\0", " "))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
