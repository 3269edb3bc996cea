"""The program as it is started: its exit codes, its two ports, its end, and what a kill leaves."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from contracts.agent_peer import a_message, a_peer
from contracts.ledger_rows import EVERYTHING, MINUTE_NS, a_slice
from gpucost_aggregator.store.duckdb_opening import FILE_NAME, SCHEMA_VERSION
from gpucost_aggregator.store.duckdb_store import DuckDBStore

FREE_PORTS = ("--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0")


def start(*arguments: str) -> subprocess.Popen[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GPUCOST_")}
    return subprocess.Popen(
        [sys.executable, "-m", "gpucost_aggregator", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ | {"PYTHONPATH": ":".join(sys.path)},
    )


def outcome(*arguments: str) -> tuple[int, str, str]:
    with start(*arguments) as program:
        out, err = program.communicate(timeout=60)
        return program.returncode, out, err


class Running:
    """A program that serves; *told* is what it logged when it began to, *before* what it logged before that."""

    def __init__(self, program: subprocess.Popen[str]) -> None:
        self.program = program
        self.before = ""
        assert program.stderr is not None
        while (line := program.stderr.readline()) and '"event": "serving"' not in line:
            self.before += line
        assert line, self.before
        self.told = json.loads(line)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self.told['http']}{path}", timeout=30) as answer:
            return str(answer.read().decode())

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        self.program.send_signal(number)
        _, err = self.program.communicate(timeout=60)
        return self.program.returncode, err


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts a program on free ports, with its data under tmp_path / data; ends what is left."""
    started: list[subprocess.Popen[str]] = []

    def begin(*more: str) -> Running:
        started.append(start("run", f"--data-dir={tmp_path / 'data'}", *FREE_PORTS, *more))
        return Running(started[-1])

    yield begin
    for program in started:
        with program:
            program.kill()
            program.communicate()


@contextmanager
def a_taken_port() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def test_it_serves_and_stops(run: Callable[..., Running], tmp_path: Path) -> None:
    running = run()
    assert running.get("/healthz") == "ok\n"
    assert running.get("/readyz") == "ok\n"
    assert "gpucost_sequence_gaps_total 0.0" in running.get("/metrics")

    async def send() -> None:
        async with a_peer(running.told["grpc"]) as peer:
            await peer.greet()
            await peer.say(batch=a_message(1, a_slice()))
            await peer.acknowledged(1)

    asyncio.run(send())
    assert "gpucost_slices_written_total 1.0" in running.get("/metrics")
    code, err = running.end()
    assert code == 0
    assert '"event": "stopping"' in err
    assert "Traceback" not in err
    store = DuckDBStore(tmp_path / "data")
    assert store.identity().store_id == running.told["store_id"]
    assert store.totals(EVERYTHING, [])[0].sums.charged_ns == MINUTE_NS
    store.close()


def test_nobody_else_reads_the_store_in_a_folder_that_everybody_may_enter(
    run: Callable[..., Running], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o755)
    running = run()
    files = [file for file in (tmp_path / "data").iterdir() if file.is_file()]
    assert {file.name for file in files} >= {FILE_NAME}
    assert [file.name for file in files if file.stat().st_mode & 0o077] == []
    assert running.end()[0] == 0


def test_a_second_one_on_the_same_store(run: Callable[..., Running], tmp_path: Path) -> None:
    running = run()
    for command in ("run", "check"):
        code, out, err = outcome(command, f"--data-dir={tmp_path / 'data'}", *FREE_PORTS)
        assert code == 5
        assert f"locked by process {running.program.pid}" in out + err
        assert "Traceback" not in err
    assert running.get("/healthz") == "ok\n"


@pytest.mark.parametrize("flag", ["--grpc-listen", "--http-listen"])
@pytest.mark.parametrize("command", ["run", "check"])
def test_a_port_in_use(tmp_path: Path, flag: str, command: str) -> None:
    with a_taken_port() as taken:
        other = next(free for free in FREE_PORTS if not free.startswith(flag))
        code, out, err = outcome(command, f"--data-dir={tmp_path / 'data'}", other, f"{flag}={taken}")
        assert code == 6
        assert f"{flag} {taken}: port {taken.split(':')[1]} is in use" in out + err
        assert "Traceback" not in err
        assert not (tmp_path / "data").exists()


def test_a_newer_schema(tmp_path: Path) -> None:
    DuckDBStore(tmp_path).close()
    with duckdb.connect(str(tmp_path / FILE_NAME)) as file:
        file.execute("UPDATE store SET schema_version = 99")
    for command in ("run", "check"):
        code, out, err = outcome(command, f"--data-dir={tmp_path}", *FREE_PORTS)
        assert code == 5
        assert "version 99" in out + err


def test_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for command in ("run", "check"):
        for folder, words in ((file, f"{file}: is a file"), (file / "data", f"data: {file} is a file")):
            code, out, err = outcome(command, f"--data-dir={folder}", *FREE_PORTS)
            assert code == 4
            assert f"{words}: give a folder" in out + err
            assert "--data-dir" in out + err


def test_usage() -> None:
    code, out, err = outcome("--listen=1")
    assert (code, out) == (2, "")
    assert err.startswith("gpucost-aggregator: --listen: no such flag")
    assert len(err.splitlines()) == 1
    assert outcome("run", "--grpc-listen=0.0.0.0:0")[0] == 2
    assert outcome("run", f"--data-dir={os.devnull}/x", *FREE_PORTS)[0] == 4
    no_address = ("--grpc-listen=127.0.0.1:0", "--http-listen=203.0.113.1:1", "--insecure")
    assert outcome("run", f"--data-dir={os.devnull}/x", *no_address)[0] == 2
    code, out, err = outcome("version")
    assert (code, err) == (0, "")
    assert out.startswith("gpucost-aggregator ")


def test_check_changes_nothing(tmp_path: Path) -> None:
    code, out, err = outcome("check", f"--data-dir={tmp_path / 'data'}", *FREE_PORTS)
    assert (code, err) == (0, "")
    assert f"would be made, with schema version {SCHEMA_VERSION}" in out
    assert [line[:18] for line in out.splitlines()] == [
        "ok  tls           ",
        "ok  writers       ",
        "ok  readers       ",
        "ok  prices        ",
        "ok  peers         ",
        "ok  lease         ",
        "ok  grpc-listen   ",
        "ok  http-listen   ",
        "ok  data-dir      ",
    ]
    assert not (tmp_path / "data").exists()
    DuckDBStore(tmp_path / "data").close()
    code, out, _ = outcome("check", f"--data-dir={tmp_path / 'data'}", *FREE_PORTS)
    assert code == 0
    assert f"has schema version {SCHEMA_VERSION}" in out


def test_a_token_of_aggregators_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short")
    flags = ("--peers=127.0.0.1:9", f"--peers-token-file={tmp_path / 'token'}")
    for command in ("run", "check"):
        code, out, err = outcome(command, f"--data-dir={tmp_path / 'data'}", *FREE_PORTS, *flags)
        assert code == 2
        assert "--peers-token-file" in out + err
        assert "short" not in out + err
        assert not (tmp_path / "data").exists()


def test_check_asks_for_the_lease_and_the_program_runs_without_an_answer(
    run: Callable[..., Running], tmp_path: Path
) -> None:
    code, out, _ = outcome(
        "check", f"--data-dir={tmp_path / 'data'}", *FREE_PORTS, "--lease=gpucost/aggregator"
    )
    assert code == 1
    assert "NO  lease          --lease gpucost/aggregator: " in out
    running = run("--lease=gpucost/aggregator")
    assert "gpucost_lease_held 0.0" in running.get("/metrics")
    code, err = running.end()
    assert code == 0
    assert '"event": "lease_not_written"' in running.before + err


def test_certificates_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("no certificate")
    pair = (f"--tls-cert={tmp_path / 'c.pem'}", f"--tls-key={tmp_path / 'c.pem'}")
    for command in ("run", "check"):
        code, out, err = outcome(command, f"--data-dir={tmp_path / 'data'}", *FREE_PORTS, *pair)
        assert code == 2
        assert "--tls-cert" in out + err
        assert not (tmp_path / "data").exists()
        assert out.startswith("NO  tls            --tls-cert") == (command == "check")


def test_a_kill_loses_no_acknowledged_batch_and_doubles_none(
    run: Callable[..., Running], tmp_path: Path
) -> None:
    """Killed in the middle of sending, thrice; each time the agent goes on behind what is durable."""

    async def send_until_killed(running: Running, kill_at: int) -> int:
        acknowledged = 0
        async with a_peer(running.told["grpc"]) as peer:
            welcome = await peer.greet()
            first = welcome.durable_sequence_number + 1
            for number in range(first, first + kill_at + 40):
                await peer.say(batch=a_message(number, a_slice(number)))
            while True:
                answer = await peer.hear()
                if answer.WhichOneof("message") == "ack":
                    acknowledged = answer.ack.sequence_number
                    if acknowledged >= first + kill_at:
                        running.program.kill()
                        return acknowledged

    acknowledged = 0
    for kill_at in (0, 5, 17):
        running = run()
        assert json.dumps(running.told)
        acknowledged = max(acknowledged, asyncio.run(send_until_killed(running, kill_at)))
        running.program.wait()
        # A look beside the log of what was not written into the file yet.
        assert outcome("check", f"--data-dir={tmp_path / 'data'}", *FREE_PORTS)[0] == 0
    store = DuckDBStore(tmp_path / "data")
    rows = store.slices(EVERYTHING, None, 10_000).slices
    held = {row.key.window_start_ns for row in rows}
    assert len(held) == len(rows)
    assert held >= {a_slice(number).key.window_start_ns for number in range(1, acknowledged + 1)}
    assert acknowledged >= 3
    store.close()
