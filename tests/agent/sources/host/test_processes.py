"""Whose a PID is, from a tree that plays /proc."""

from pathlib import Path

import pytest
from gpucost.trouble import Retry

from contracts.hand_clock import HandClock
from gpucost_agent.readings import Boot, ProcessIdentity
from gpucost_agent.sources.host import processes
from gpucost_agent.sources.host.cgroup_paths import Place
from gpucost_agent.sources.host.processes import Processes, parse_booted_at_ns, parse_mps_percent, parse_stat

UID = "0e2e0d3b-9c1a-4f65-8a0f-8f0e6a1c2b3d"
CID = "9f" * 32
SECOND = 1_000_000_000


def stat_line(pid: int, command: str, start_ticks: int) -> str:
    before = " ".join(["0"] * 17)
    return f"{pid} ({command}) S {before} 0 {start_ticks} 0 0\n"


class Proc:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = HandClock()
        self.processes = Processes(root, self.clock)

    def start(self, pid: int, start_ticks: int, cgroup: str, command: str = "python3") -> None:
        folder = self.root / str(pid)
        folder.mkdir(exist_ok=True)
        (folder / "stat").write_text(stat_line(pid, command, start_ticks))
        (folder / "cgroup").write_text(f"0::{cgroup}\n")
        (folder / "comm").write_text(f"{command}\n")

    def environ(self, pid: int, *variables: str) -> None:
        (self.root / str(pid) / "environ").write_bytes(b"".join(f"{each}\0".encode() for each in variables))

    def end(self, pid: int) -> None:
        for file in (self.root / str(pid)).iterdir():
            file.unlink()
        (self.root / str(pid)).rmdir()


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def in_pod(cid: str = CID) -> str:
    return f"/kubepods/pod{UID}/{cid}"


def test_a_process_of_a_container_and_one_of_the_host(proc: Proc) -> None:
    proc.start(7, 100, in_pod(), "VLLM::(gpu 0) x")
    proc.start(8, 200, "/system.slice/job.service", "train")
    assert proc.processes.identify(7) == ProcessIdentity(7, 100, UID, CID, "", "VLLM::(gpu 0) x")
    assert proc.processes.identify(8) == ProcessIdentity(8, 200, "", "", "job.service", "train")
    assert proc.processes.identify(9) is None


def test_a_pid_that_is_used_again_is_another_process(proc: Proc) -> None:
    proc.start(7, 100, in_pod())
    first = proc.processes.identify(7)
    proc.start(7, 900, in_pod("ab" * 32))
    second = proc.processes.identify(7)
    assert first is not None
    assert second is not None
    assert (first.container_id, second.container_id) == (CID, "ab" * 32)


def test_one_that_ended_keeps_its_identity_for_a_minute(proc: Proc) -> None:
    proc.start(7, 100, in_pod())
    known = proc.processes.identify(7)
    proc.end(7)
    proc.clock.pass_ns(60 * SECOND)
    assert proc.processes.identify(7) == known is not None
    proc.clock.pass_ns(1)
    assert proc.processes.identify(7) is None


def test_the_identity_is_kept_from_when_it_was_last_seen_alive(proc: Proc) -> None:
    proc.start(7, 100, in_pod())
    proc.processes.identify(7)
    proc.clock.pass_ns(50 * SECOND)
    proc.processes.identify(7)
    proc.end(7)
    proc.clock.pass_ns(50 * SECOND)
    assert proc.processes.identify(7) is not None


def test_a_process_that_moves_into_its_container_is_followed_there(proc: Proc) -> None:
    proc.start(7, 100, "/system.slice/containerd.service")
    proc.processes.identify(7)
    proc.start(7, 100, in_pod())
    moved = proc.processes.identify(7)
    assert moved is not None
    assert moved.container_id == CID


def test_a_limit_of_mps_is_read_from_what_the_process_was_started_with(proc: Proc) -> None:
    proc.start(7, 100, in_pod())
    proc.environ(7, "PATH=/bin", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=25", "X=1")
    proc.start(8, 100, in_pod())
    found = [proc.processes.identify(pid) for pid in (7, 8)]
    assert [each.mps_percent if each else 0 for each in found] == [25, None]


def test_an_environment_that_may_not_be_read_is_not_known(proc: Proc) -> None:
    proc.start(7, 100, in_pod())
    (proc.root / "7" / "environ").mkdir()  # any failure to read it, also for root
    found = proc.processes.identify(7)
    assert found is not None
    assert (found.container_id, found.mps_percent) == (CID, None)
    (proc.root / "7" / "environ").rmdir()


@pytest.mark.parametrize(
    ("environment", "percent"),
    [
        (b"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=25", 25),
        (b"A=1\0CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=100\0", 100),
        (b"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=12.5\0B=1", 12),
        (b"MY_CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=25", None),
        (b"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=0", None),
        (b"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=101", None),
        (b"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=", None),
        (b"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=25x", None),
        (b"", None),
    ],
)
def test_a_limit_is_a_percentage(environment: bytes, percent: int | None) -> None:
    assert parse_mps_percent(environment) == percent


def test_a_pid_that_is_used_again_between_two_files_is_neither_of_the_two(
    proc: Proc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place of the second must never be told with the start of the first."""
    proc.start(7, 100, in_pod())
    parse = processes.parse_cgroup

    def and_ends(text: str) -> Place:
        proc.start(7, 900, in_pod("ab" * 32))
        return parse(text)

    monkeypatch.setattr(processes, "parse_cgroup", and_ends)
    assert proc.processes.identify(7) is None
    monkeypatch.undo()
    proc.start(7, 800, in_pod())
    assert proc.processes.identify(7) is not None
    proc.start(7, 850, in_pod())
    monkeypatch.setattr(processes, "parse_cgroup", and_ends)
    assert proc.processes.identify(7) is None, "nor the one that was seen before"
    monkeypatch.undo()
    found = proc.processes.identify(7)
    assert found is not None
    assert (found.start_ticks, found.container_id) == (900, "ab" * 32)


def test_one_that_has_ended_and_lies_in_no_cgroup_any_more_is_not_the_hosts(proc: Proc) -> None:
    proc.start(7, 100, "/")
    stat = proc.root / "7" / "stat"
    stat.write_text(stat.read_text().replace(") S ", ") Z "))
    assert proc.processes.identify(7) is None
    proc.start(8, 100, in_pod())
    known = proc.processes.identify(8)
    proc.start(8, 100, "/")
    stat = proc.root / "8" / "stat"
    stat.write_text(stat.read_text().replace(") S ", ") Z "))
    assert proc.processes.identify(8) == known is not None


def test_the_boot(proc: Proc) -> None:
    with pytest.raises(Retry, match="booted"):
        proc.processes.boot()
    (proc.root / "sys/kernel/random").mkdir(parents=True)
    (proc.root / "sys/kernel/random/boot_id").write_text("11111111-2222-4333-8444-555555555555\n")
    (proc.root / "stat").write_text("cpu  1 2 3\nbtime 1799999000\nprocesses 1\n")
    assert proc.processes.boot() == Boot("11111111-2222-4333-8444-555555555555", 1_799_999_000 * SECOND)


def test_a_pid_of_the_driver_that_is_found_is_enough(proc: Proc) -> None:
    proc.start(1, 0, in_pod(), "gpucost-agent")
    proc.start(7, 100, in_pod())
    assert proc.processes.blindness([6, 7]) is None
    assert "none of the 2 processes" in str(proc.processes.blindness([5, 6]))


@pytest.mark.parametrize(
    ("command", "cgroup", "says"),
    [
        ("systemd", "/init.scope", None),
        ("init", "/", None),
        ("systemd", in_pod(), "hostPID"),
        ("python3", "/", "hostPID"),
    ],
)
def test_process_1_tells_whether_these_are_the_hosts(
    proc: Proc, command: str, cgroup: str, says: str | None
) -> None:
    proc.start(1, 0, cgroup, command)
    blindness = proc.processes.blindness()
    assert blindness is None if says is None else says in str(blindness)


def test_the_kernels_thread_daemon_is_a_hosts(proc: Proc) -> None:
    proc.start(1, 0, "/", "unusual-init")
    proc.start(2, 0, "/", "kthreadd")
    assert proc.processes.blindness() is None


def test_an_empty_tree_is_not_the_hosts(proc: Proc) -> None:
    assert "not mounted" in str(proc.processes.blindness())


def test_a_command_may_hold_what_separates_fields() -> None:
    assert parse_stat(stat_line(7, ") S 1 (x", 4_711)) == (4_711, ") S 1 (x")


@pytest.mark.parametrize("text", ["", "7 (x) S 1 2", "no brackets at all", "7 (x) " + "a " * 30])
def test_what_is_no_stat_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"stat|invalid"):
        parse_stat(text)


def test_a_stat_without_a_boot_is_refused() -> None:
    with pytest.raises(ValueError, match="btime"):
        parse_booted_at_ns("cpu 1 2 3\n")
