"""The agent as a program: what stops it from starting, what does not, and what it leaves behind."""

import ctypes
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from gpucost.identity import HolderKind

from contracts.agent_process import BARE, AgentHome, free_port, simulated_driver, stop
from contracts.aggregator_by_hand import Aggregator, Door, until
from contracts.price_books import a_book, a_fleet_book
from gpucost_agent.price_copy import FILE_NAME, InForce, PriceCopy


def has_driver() -> bool:
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def mapping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with simulated_driver(tmp_path_factory.mktemp("driver") / "one") as file:
        yield file


@pytest.mark.parametrize(
    ("given", "kept"),
    [("", "=0"), ("glibc.malloc.arena_max=3", "=0"), ("glibc.malloc.tcache_count=5", "=5")],
)
def test_threads_keep_no_memory_of_their_own_unless_asked_to(
    tmp_path: Path, mapping: Path, monkeypatch: pytest.MonkeyPatch, given: str, kept: str
) -> None:
    monkeypatch.setitem(BARE, "GLIBC_TUNABLES", given)
    home = AgentHome(tmp_path, mapping)
    with home.start() as agent:
        until(lambda: home.get("/healthz"))
        # glibc takes its own variable apart in place, so it is looked for in the bytes.
        environ = Path(f"/proc/{agent.pid}/environ").read_bytes()
        code, _ = stop(agent)
    assert code == 0
    assert given.encode() in environ
    assert [word[:2] for word in environ.split(b"glibc.malloc.tcache_count")[1:]] == [kept.encode()]


@pytest.mark.skipif(has_driver(), reason="this machine has NVIDIA's library")
def test_no_driver_library(tmp_path: Path) -> None:
    code, out, complaints = AgentHome(tmp_path).run()
    assert code == 3, out + complaints
    assert complaints.startswith("gpucost-agent: ")
    assert "libnvidia-ml" in complaints
    assert "Traceback" not in complaints


def test_a_driver_that_is_not_loaded(tmp_path: Path) -> None:
    code, out, complaints = AgentHome(tmp_path, tmp_path / "no.map").run()
    assert code == 3, out + complaints
    assert complaints.startswith("gpucost-agent: ")
    assert "Traceback" not in complaints


def test_a_broken_price_book_is_named_to_the_column(tmp_path: Path) -> None:
    book = tmp_path / "prices.yaml"
    book.write_text("version: 1\nrules:\n  - name: a\n    gpu_usd_per_hour: cheap\n")
    code, out, complaints = AgentHome(tmp_path, flags={"price-book": str(book)}).run()
    assert code == 2, out + complaints
    assert complaints.startswith(f"gpucost-agent: {book}:")
    line, column = complaints.removeprefix(f"gpucost-agent: {book}:").split(":")[:2]
    assert int(line) in (3, 4)
    assert int(column) > 0


def test_a_file_in_the_way_of_the_spool(tmp_path: Path, mapping: Path) -> None:
    # Also root is kept out by a file where a folder has to be.
    (tmp_path / "spool").write_text("")
    code, out, complaints = AgentHome(tmp_path, mapping).run()
    assert code == 4, out + complaints
    assert f"--spool-dir {tmp_path / 'spool'}" in complaints


def test_nobody_else_reads_the_spool_in_a_folder_that_everybody_may_enter(
    tmp_path: Path, mapping: Path
) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool").chmod(0o755)
    home = AgentHome(tmp_path, mapping)
    with home.start() as agent:
        until(lambda: home.get("/healthz"))
        files = [file for file in (tmp_path / "spool").rglob("*") if file.is_file()]
        assert len(files) > 1
        assert [file.name for file in files if file.stat().st_mode & 0o077] == []
        assert stop(agent)[0] == 0


def test_a_spool_in_use(tmp_path: Path, mapping: Path) -> None:
    home = AgentHome(tmp_path, mapping)
    with home.start() as first:
        try:
            until(lambda: home.get("/healthz"))
            code, out, complaints = AgentHome(tmp_path, mapping).run()
            assert code == 5, out + complaints
            assert "another agent uses it" in complaints
            assert first.poll() is None
        finally:
            stop(first)


def test_a_port_in_use(tmp_path: Path, mapping: Path) -> None:
    home = AgentHome(tmp_path, mapping)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", home.port))
        taken.listen()
        code, out, complaints = home.run()
    assert code == 6, out + complaints
    assert "--metrics-listen" in complaints


def test_without_a_kubelet_it_runs_and_says_that_it_can_not_say_who_held_the_gpu(
    tmp_path: Path, mapping: Path
) -> None:
    home = AgentHome(tmp_path, mapping)
    with home.start() as agent:
        until(lambda: "gpucost_gpu_last_read_timestamp_seconds{" in home.get("/metrics"))
        until(lambda: 'source="pod_resources"' in home.get("/metrics"))
        assert home.get("/healthz") == "ok\n"
        assert home.get("/readyz") == "ok\n"
        code, said = stop(agent)
    assert code == 0, said
    assert '"event": "source_fails"' in said
    assert "Traceback" not in said
    reasons = {row.key.holder.reason for row in home.slices() if row.key.holder.kind is HolderKind.UNOBSERVED}
    assert reasons == {"kubelet_away"}


def test_an_agent_that_is_started_again_goes_on_where_the_one_before_it_ended(
    tmp_path: Path, mapping: Path
) -> None:
    for _ in range(2):
        home = AgentHome(tmp_path, mapping)
        with home.start() as agent:
            until(lambda home=home: home.get("/healthz"))  # type: ignore[misc]
            code, said = stop(agent)
        assert code == 0, said
    batches = home.batches()
    ends = [batch.closed_through_ns for batch in batches]
    starts = [batch.window.window_start_ns for batch in batches]
    assert len(batches) > 1
    assert starts[1:] == ends[:-1]
    keys = [row.key for row in home.slices()]
    assert len(keys) == len(set(keys))


def test_an_aggregator_that_is_away_at_the_start_gets_everything_later(tmp_path: Path, mapping: Path) -> None:
    door, aggregator = Door(), Aggregator()
    door.open(aggregator)
    door.shut()
    home = AgentHome(tmp_path, mapping, {"aggregator": door.address})
    with home.start() as agent:
        try:
            until(lambda: home.get("/healthz"))
            door.open(aggregator)
            until(lambda: aggregator.hellos)
            code, said = stop(agent)
            assert code == 0, said
            assert aggregator.hellos[0].cluster == "c"
            assert aggregator.arrived == [batch.sequence_number for batch in home.batches()]
            until(lambda: aggregator.goodbyes)
            assert aggregator.goodbyes == [(aggregator.durable, aggregator.durable)]
            assert aggregator.durable > 0
        finally:
            agent.kill()
            door.shut()


def test_check_says_what_works_and_what_does_not(tmp_path: Path, mapping: Path) -> None:
    code, out, complaints = AgentHome(tmp_path, mapping).run("check")
    assert code == 1, out + complaints
    lines = {line[4:18].strip(): line[:3].strip() for line in out.splitlines()}
    assert lines["driver"] == "ok"
    assert lines["gpu 0"] == "ok"
    assert lines["spool-dir"] == "ok"
    assert lines["kubelet"] == "NO"
    assert lines["kube-api"] == "--"
    assert lines["aggregator"] == "--"
    assert not (tmp_path / "spool").exists(), "a check leaves nothing behind"


def test_check_ends_with_the_code_that_the_agent_would_end_with(tmp_path: Path, mapping: Path) -> None:
    assert AgentHome(tmp_path, tmp_path / "no.map").run("check")[0] == 3
    (tmp_path / "spool").write_text("")
    code, out, _ = AgentHome(tmp_path, mapping).run("check")
    assert code == 4
    assert "give a folder that this user may write" in out


def test_check_tells_of_a_certificate_before_anything_else(tmp_path: Path, mapping: Path) -> None:
    # Nobody listens there: the file is told of all the same.
    flags = {"aggregator": f"127.0.0.1:{free_port()}", "tls-ca": str(tmp_path / "no.pem")}
    code, out, complaints = AgentHome(tmp_path, mapping, flags).run("check")
    assert code == 2, out + complaints
    assert out.startswith(f"NO  tls            --tls-ca {tmp_path / 'no.pem'}: can not be read"), out
    assert "Traceback" not in complaints
    lines = {line[4:18].strip(): line for line in out.splitlines()}
    assert lines["driver"].startswith("ok")
    assert lines["aggregator"].startswith("NO")


def test_check_names_the_price_book_that_holds_and_leaves_a_damaged_one_alone(
    tmp_path: Path, mapping: Path
) -> None:
    def line(**flags: str) -> str:
        home = AgentHome(tmp_path, mapping, {name.replace("_", "-"): value for name, value in flags.items()})
        (found,) = [line for line in home.run("check")[1].splitlines() if line[4:].startswith("price-book")]
        return found

    spool, own = tmp_path / "spool", tmp_path / "own.yaml"
    own.write_bytes(a_book("mine"))
    assert line().startswith("--  price-book     none here")
    spool.mkdir()
    PriceCopy(spool).keep(InForce(a_fleet_book("2026-11")))
    assert line() == "ok  price-book     version 2026-11 of the aggregator, as it sent it last"
    assert line(price_book=str(own)) == f"ok  price-book     version mine of {own}"
    (spool / FILE_NAME).write_text("{}")
    assert line().startswith("NO  price-book")
    assert (spool / FILE_NAME).read_text() == "{}"


def test_check_asks_nobody_with_a_token_that_can_not_be_read(tmp_path: Path, mapping: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        flags = {"aggregator": address, "token-file": str(tmp_path / "none")}
        code, out, complaints = AgentHome(tmp_path, mapping, flags).run("check")
    assert code == 1, out + complaints
    lines = {line[4:18].strip(): line for line in out.splitlines()}
    assert lines["token"].startswith(f"NO  token          --token-file {tmp_path / 'none'}: can not be read")
    assert lines["aggregator"].endswith("until the files of tls and token are right")


def test_check_of_a_machine_alone_says_how_an_exporter_is_named(tmp_path: Path, mapping: Path) -> None:
    _, out, complaints = AgentHome(tmp_path, mapping, {"stand-alone": "true"}).run("check")
    (exporter,) = [line for line in out.splitlines() if "dcgm-exporter" in line]
    assert exporter.startswith("--"), out + complaints
    assert "--dcgm-url" in exporter
    assert "pod" not in exporter
