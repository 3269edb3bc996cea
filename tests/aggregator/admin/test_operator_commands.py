"""The commands for operators against a server that runs: what is set aside, backups, and restores."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from gpucost.cost_slice import CostSlice, GpuTime

from contracts.agent_peer import a_message, a_peer
from contracts.ledger_rows import MIG, MINUTE_NS, a_free_slice, a_slice
from gpucost_aggregator.__main__ import main
from gpucost_aggregator.app import serving
from gpucost_aggregator.settings import read_command

FREE_PORTS = ("--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0")
Ask = Callable[..., tuple[int, str]]


def lately(row: CostSlice) -> CostSlice:
    """*row* in a window that has just passed, as the server goes by the clock on the wall."""
    now_ns = time.time_ns()
    return replace(row, key=replace(row.key, window_start_ns=now_ns - now_ns % MINUTE_NS - MINUTE_NS))


def with_a_server(folder: Path, capsys: pytest.CaptureFixture[str], scene: Callable[[Ask], None]) -> None:
    """*scene* asks a server that holds a good slice, a lawless one, and a batch that can not all be read."""
    _, settings = read_command([f"--data-dir={folder}", *FREE_PORTS], {})

    def ask(*words: str) -> tuple[int, str]:
        code = main([*words, f"--data-dir={folder}"])
        said = capsys.readouterr()
        return code, said.out + said.err

    async def whole() -> None:
        async with serving(settings) as served:
            async with a_peer(str(served.grpc)) as peer:
                await peer.greet()
                lawless = lately(replace(a_free_slice(), time=GpuTime(0, 0, 5, 0)))
                await peer.say(batch=a_message(1, lately(a_slice()), lawless))
                message = a_message(2, lately(a_slice(device=MIG)), lately(a_free_slice(device=MIG)))
                message.table.slices[1].holder = 99
                await peer.say(batch=message)
                await peer.acknowledged(2)
            await asyncio.to_thread(scene, ask)

    with structlog.testing.capture_logs():
        asyncio.run(whole())


def test_which_server_this_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def scene(ask: Ask) -> None:
        code, said = ask("status")
        assert code == 0
        told = {line[:20].strip(): line[21:] for line in said.splitlines()}
        assert told["process"] == str(os.getpid())
        assert (told["writers asked"], told["readers asked"]) == ("no", "no")
        assert told["duplicate agents"] == "none"
        ask("join", "prod")
        assert "writers asked        yes\n" in ask("status")[1]

    with_a_server(tmp_path, capsys, scene)


def test_what_is_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def scene(ask: Ask) -> None:
        code, said = ask("quarantine", "list")
        assert code == 0
        assert [line.split()[0] for line in said.splitlines() if line[0] in "sb"] == ["s1", "b1"]
        assert ask("quarantine", "list", "--cluster=west") == (0, "nothing waits\n")
        _, first = ask("quarantine", "list", "--limit=1")
        cursor = first.split("--cursor=")[1].strip()
        assert ask("quarantine", "list", f"--cursor={cursor}")[1].startswith("b1 ")
        code, said = ask("quarantine", "explain", "s1", "b1")
        assert code == 0
        assert "batch 1 of the agent's epoch epoch-1" in said
        assert "charged 5 ns passes reserved 0 + used 0" in said
        assert "idle_ns                          5" in said
        assert "readable    1 slices" in said
        assert "Upgrade the aggregator" in said
        code, said = ask("quarantine", "replay", "s1", "b1", "s9")
        assert code == 0
        assert "replayed 0, stayed 2" in said
        assert "s9 is not in the quarantine" in said
        assert "tried" in ask("quarantine", "list")[1]

    with_a_server(tmp_path, capsys, scene)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["quarantine"], "half a command"),
        (["quarantine", "lst"], "list or explain or replay"),
        (["quarantine", "replay"], "say which: ids, --reason TEXT, or --all"),
        (["quarantine", "replay", "s1", "--all"], "not both"),
        (["quarantine", "explain"], "needs ID"),
        (["quarantine", "explain", "x"], "s17 (a slice)"),
        (["quarantine", "explain", "s77"], "nothing with the id s77"),
        (["quarantine", "list", "--cursor=x"], "begin without one"),
        (["quarantine", "list", "--since=yesterday"], "2026-11-21T08:00:00Z"),
        (["quarantine", "list", "--all"], "flag of `quarantine replay`"),
        (["backup"], "needs PATH"),
    ],
)
def test_what_can_not_be_done_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    def scene(ask: Ask) -> None:
        code, answer = ask(*words)
        assert code == 2
        assert said in answer

    with_a_server(tmp_path, capsys, scene)


def test_a_backup_and_its_restore(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "backup.duckdb"

    def back_up(ask: Ask) -> None:
        code, said = ask("backup", str(target))
        assert code == 0
        assert "the watermarks of 1 agents" in said
        code, said = ask("backup", str(target))
        assert code == 2
        assert "overwrites nothing" in said
        code, said = ask("restore", str(target))
        assert code == 5
        assert "there is a store already" in said

    with_a_server(tmp_path / "data", capsys, back_up)
    again = tmp_path / "again"
    assert main(["restore", str(target), f"--data-dir={again}"]) == 0
    assert "agents send again" in capsys.readouterr().out

    async def scene() -> None:
        _, settings = read_command([f"--data-dir={again}", *FREE_PORTS], {})
        async with serving(settings) as served, a_peer(str(served.grpc)) as peer:
            welcome = await peer.greet()
            assert welcome.durable_sequence_number == 2
            assert welcome.store_generation > 1

    with structlog.testing.capture_logs():
        asyncio.run(scene())


@pytest.mark.parametrize("words", [["quarantine", "list"], ["backup", "x"], ["status"]])
def test_without_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert main([*words, f"--data-dir={tmp_path}"]) == 2
    assert "no aggregator runs at" in capsys.readouterr().err
