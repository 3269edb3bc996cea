"""`prices` as an operator runs it, against a running server with agents on its streams."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import structlog
from gpucost.fleet_book import MAX_BOOK_BYTES

from contracts.agent_peer import Peer, a_hello, a_peer
from contracts.price_books import a_book
from gpucost_aggregator.__main__ import main
from gpucost_aggregator.app import serving
from gpucost_aggregator.ingest.price_shelf import FILE_NAME
from gpucost_aggregator.settings import read_command

FREE_PORTS = ("--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0")
Ask = Callable[..., Awaitable[tuple[int, str]]]


def played(
    folder: Path, capsys: pytest.CaptureFixture[str], scene: Callable[[Ask, Peer], Awaitable[None]]
) -> list[str]:
    """*scene* asks a server to which one agent is connected; the server's events."""
    _, settings = read_command([f"--data-dir={folder}", *FREE_PORTS], {})

    def command(*words: str) -> tuple[int, str]:
        code = main([*words, f"--data-dir={folder}"])
        said = capsys.readouterr()
        return code, said.out + said.err

    async def ask(*words: str) -> tuple[int, str]:
        return await asyncio.to_thread(command, *words)

    async def whole() -> None:
        async with asyncio.timeout(60), serving(settings) as served, a_peer(str(served.grpc)) as peer:
            await peer.greet(a_hello(price_book_version="own"))
            await scene(ask, peer)

    with structlog.testing.capture_logs() as logged:
        asyncio.run(whole())
    return [each["event"] for each in logged]


def test_a_book_is_set_shown_and_cleared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, file = tmp_path / "data", tmp_path / "prices.yaml"

    async def scene(ask: Ask, peer: Peer) -> None:
        code, said = await ask("prices", "show")
        assert (code, said.splitlines()[0]) == (
            0,
            "No price book is set: each agent goes by its own --price-book, or by the catalogue alone.",
        )
        assert "1 agents with a stream said last that they go by version own\n" in said
        assert (await ask("prices", "show", "--yaml"))[0] == 2
        file.write_bytes(a_book("2026-11", "4.2"))
        code, said = await ask("prices", "set", str(file))
        assert code == 0
        assert said.startswith(
            "Version 2026-11 with 1 rules is the fleet's price book from now on; 1 connected agents are being told, "
        )
        assert (await peer.hear()).price_book.yaml == file.read_bytes()
        code, said = await ask("prices", "set", str(file))
        assert code == 0
        assert "is set already, since " in said
        assert said.endswith(": nothing changed\n")
        code, said = await ask("prices", "show")
        assert code == 0
        assert said.startswith("Version 2026-11 with 1 rules, since ")
        assert "  east/node-1 goes by version own\n" in said
        assert said.endswith(f"\n{file.read_text()}")
        assert await ask("prices", "show", "--yaml") == (0, file.read_text())
        code, said = await ask("prices", "clear")
        assert code == 0
        assert said.startswith("Version 2026-11 is the fleet's price book no more; 1 connected agents")
        assert (await peer.hear()).price_book.version == ""
        code, said = await ask("prices", "clear")
        assert (code, "nothing to clear" in said) == (2, True)

    events = played(data, capsys, scene)
    assert [event for event in events if event.startswith("prices")] == ["prices_set", "prices_cleared"]


def test_what_can_not_be_set_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, good, bad = tmp_path / "data", tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_bytes(a_book("1"))

    async def scene(ask: Ask, peer: Peer) -> None:
        assert (await ask("prices", "set", str(good)))[0] == 0
        before = (data / FILE_NAME).read_bytes()
        for text, words in (
            (a_book("2", "4,2"), f"{bad}:3:"),
            (b"\xff", "not UTF-8"),
            (b"#" * (MAX_BOOK_BYTES + 1), f"{bad}: more than {MAX_BOOK_BYTES} bytes"),
            (a_book("1", "9"), "version '1' was set before with another text"),
        ):
            bad.write_bytes(text)
            code, said = await ask("prices", "set", str(bad))
            assert (code, words in said) == (2, True), said
        code, said = await ask("prices", "set", str(tmp_path / "absent"))
        assert (code, "can not be read: No such file" in said) == (2, True)
        assert (data / FILE_NAME).read_bytes() == before
        assert (await peer.hear()).price_book.version == "1"

    assert played(data, capsys, scene).count("prices_set") == 1


def test_a_disk_that_takes_nothing_is_told_and_nothing_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, file = tmp_path / "data", tmp_path / "prices.yaml"
    file.write_bytes(a_book("1"))

    async def scene(ask: Ask, peer: Peer) -> None:
        # Root may write anywhere, but nobody can open a folder as a file.
        (data / f"{FILE_NAME}.new").mkdir()
        code, said = await ask("prices", "set", str(file))
        assert (code, "can not be written" in said) == (5, True)
        assert (await ask("prices", "show"))[1].startswith("No price book is set")
        (data / f"{FILE_NAME}.new").rmdir()
        assert (await ask("prices", "set", str(file)))[0] == 0
        assert (await peer.hear()).price_book.version == "1"

    played(data, capsys, scene)


def test_a_backup_takes_the_book_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, target, again = tmp_path / "prices.yaml", tmp_path / "backup.duckdb", tmp_path / "again"
    file.write_bytes(a_book("1"))

    async def back_up(ask: Ask, peer: Peer) -> None:
        assert (await ask("prices", "set", str(file)))[0] == 0
        assert (await ask("backup", str(target)))[0] == 0
        assert (await peer.hear()).price_book.version == "1"

    async def look(ask: Ask, peer: Peer) -> None:
        assert await ask("prices", "show", "--yaml") == (0, file.read_text())
        assert (await peer.hear()).price_book.version == "1"

    played(tmp_path / "data", capsys, back_up)
    assert main(["restore", str(target), f"--data-dir={again}"]) == 0
    assert FILE_NAME in capsys.readouterr().out
    played(again, capsys, look)


def test_a_damaged_book_stops_the_start(tmp_path: Path) -> None:
    tmp_path.joinpath(FILE_NAME).write_text("{}")
    environ = {"PYTHONPATH": ":".join(sys.path)}
    for command in ("run", "check"):
        arguments = [command, f"--data-dir={tmp_path}", *FREE_PORTS]
        run = subprocess.run(
            [sys.executable, "-m", "gpucost_aggregator", *arguments],
            capture_output=True, text=True, check=False, env=environ,
        )  # fmt: skip
        assert run.returncode == 5, run.stderr
        words = f"{tmp_path / FILE_NAME}: is not what an aggregator of this version wrote"
        assert words in run.stdout + run.stderr
