"""`join` as it is run: beside a serving aggregator, for a real agent's stream."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from gpucost.identity import NodeId
from gpucost.system_clock import SystemClock
from gpucost.units import NS_PER_SECOND

from contracts.aggregator_by_hand import until
from gpucost_agent.spool import Bounds, Spool
from gpucost_agent.stream import Caller, Stream, Target


def command(*arguments: str) -> tuple[int, str, str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GPUCOST_")}
    run = subprocess.run(
        [sys.executable, "-m", "gpucost_aggregator", *arguments],
        capture_output=True, text=True, check=False, env=environ | {"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    return run.returncode, run.stdout, run.stderr


class Ear:
    """Keeps what an agent's stream tells."""

    def __init__(self) -> None:
        self.connections = 0
        self.reasons: list[str] = []

    def heard(self, clock_ns: int) -> None:
        pass

    def connected(self, durable: int) -> None:
        self.connections += 1

    def disconnected(self, reason: str) -> None:
        self.reasons.append(reason)

    def rejected(self, sequence_number: int, reasons: list[str]) -> None:
        pass

    def prices_sent(self, version: str, yaml: bytes) -> None:
        pass


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_what_join_prints_lets_an_agent_in(tmp_path: Path, data: Path) -> None:
    ports = ("--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0")
    program = subprocess.Popen(
        [sys.executable, "-m", "gpucost_aggregator", "run", f"--data-dir={data}", *ports],
        stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    try:
        assert program.stderr is not None
        told = json.loads(program.stderr.readline())
        at = f"--data-dir={data}"
        code, _, err = command("join", "two words", at)
        assert (code, "no name of a cluster" in err) == (2, True)
        code, out, _ = command("join", "east", at, "--address=aggregator.example:9443")
        assert code == 0
        assert "--aggregator   aggregator.example:9443" in out
        said = json.loads(command("join", "east", at, "--output=json")[1])
        assert said["address"] == told["grpc"]
        assert len(said["tokens"]) == 2

        file, ear = tmp_path / "token", Ear()
        caller = Caller(NodeId("east", "n1"), lambda: "uid-1", "boot", "1", 60 * NS_PER_SECOND, lambda: "")
        spool = Spool(tmp_path / "spool", Bounds())
        stream = Stream(spool, Target(told["grpc"], token_file=file), caller, SystemClock(), ear)
        running = threading.Thread(target=stream.run)
        running.start()
        until(lambda: any("--token-file" in reason for reason in ear.reasons))
        file.write_text("wrong")
        until(lambda: any("UNAUTHENTICATED: the token is not valid here" in each for each in ear.reasons))
        assert ear.connections == 0
        file.write_text(said["token"])
        until(lambda: ear.connections)
        revoked = command("join", "east", at, f"--revoke={said['token_id']}")
        assert (revoked[0], "1 streams ended" in revoked[1]) == (0, True)
        until(lambda: "valid any more" in ear.reasons[-1] or "not valid" in ear.reasons[-1])
        code, out, _ = command("join", "east", at, "--unbind")
        assert (code, "uid-1" in out) == (0, True)
        stream.draining.set()
        stream.drained.set()
        running.join(30)
        spool.close()
    finally:
        with program:
            program.terminate()
            _, err = program.communicate(timeout=30)
    assert said["token"] not in err
    assert "Traceback" not in err
