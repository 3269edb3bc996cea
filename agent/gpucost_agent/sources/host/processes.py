"""The host's /proc: whose a PID is, and when the node booted."""

import os
import re
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from gpucost.clock import Clock
from gpucost.trouble import Retry
from gpucost.units import NS_PER_SECOND

from gpucost_agent.readings import Boot, ProcessIdentity
from gpucost_agent.sources.host.cgroup_paths import parse_cgroup

_MOST_REMEMBERED = 4_096
_REMEMBERED_NS = 60 * NS_PER_SECOND
_LONGEST_ENVIRONMENT = 1 << 20
_ONE_READ = 4_096  # bytes; nearly all that is read here is shorter
# A process writes its own environment: more digits than a percentage has are none, and int() refuses thousands.
_MPS_PERCENT = re.compile(rb"(?:^|\0)CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=0*(\d{1,3})(?:\.\d*)?(?=\0|$)")
_INITS = frozenset({"systemd", "init", "machined"})


@dataclass(slots=True)
class _Seen:
    identity: ProcessIdentity
    alive_at_ns: int


class Processes:
    """
    Names processes by their host PIDs. For one thread; reads files only, so it does not block for long.

    *proc_root* is the host's /proc, or the container's own if the pod shares the host's PIDs.
    """

    def __init__(self, proc_root: Path, clock: Clock) -> None:
        self._root = proc_root
        self._folder = str(proc_root)
        self._clock = clock
        self._seen: OrderedDict[int, _Seen] = OrderedDict()

    def identify(self, pid: int) -> ProcessIdentity | None:
        """
        Whose a PID is; None if there is no such process and none was seen under this PID in the last minute.

        A process may end before the driver's use of it is read, so one that is gone keeps its last identity that
        long. A PID that was used again shows by its start time. Raises nothing.
        """
        now_ns = self._clock.now().monotonic_ns
        seen = self._seen.get(pid)
        try:
            start_ticks, command = parse_stat(self._stat(pid))
            if seen is not None and seen.identity.start_ticks != start_ticks:
                seen = None
            if seen is None or not seen.identity.container_id:
                # Outside containers it is read each time: who starts a container moves into it a moment later.
                seen = _Seen(self._identity(pid, start_ticks, command), now_ns)
        except (OSError, ValueError):
            if seen is None or now_ns - seen.alive_at_ns > _REMEMBERED_NS:
                self._seen.pop(pid, None)
                return None
            return seen.identity
        seen.alive_at_ns = now_ns
        self._seen[pid] = seen
        self._seen.move_to_end(pid)
        self._forget(now_ns)
        return seen.identity

    def _forget(self, now_ns: int) -> None:
        """Who was not seen for a minute, the longest unseen being the first; and of too many the first ones."""
        while len(self._seen) > _MOST_REMEMBERED or (
            now_ns - next(iter(self._seen.values())).alive_at_ns > _REMEMBERED_NS
        ):
            self._seen.popitem(last=False)

    def _identity(self, pid: int, start_ticks: int, command: str) -> ProcessIdentity:
        """Raises OSError if the process ended meanwhile, also where another has its PID already."""
        place = parse_cgroup(self._text(f"{pid}/cgroup"))
        percent = self._mps_percent(pid)
        after = self._stat(pid)
        # One that has ended and was not waited for is shown outside of the cgroup that it was in.
        ended = after.rpartition(")")[2].split()[:1] in (["Z"], ["X"])
        if parse_stat(after)[0] != start_ticks or (ended and not place.pod_uid):
            raise ProcessLookupError(pid)
        return ProcessIdentity(
            pid, start_ticks, place.pod_uid, place.container_id, place.unit, command, percent
        )

    def _mps_percent(self, pid: int) -> int | None:
        try:
            with (self._root / str(pid) / "environ").open("rb") as file:
                return parse_mps_percent(file.read(_LONGEST_ENVIRONMENT))
        except OSError:
            # Other users' processes show it to whoever may trace them only.
            return None

    def boot(self) -> Boot:
        """The node's boot. Raises Retry if /proc does not tell."""
        try:
            boot_id = self._text("sys/kernel/random/boot_id").strip()
            return Boot(boot_id, parse_booted_at_ns(self._text("stat")))
        except (OSError, ValueError) as error:
            raise Retry(
                f"{self._root} does not tell when the node booted: {getattr(error, 'strerror', None) or error}"
            ) from error

    def blindness(self, pids: Collection[int] = ()) -> str | None:
        """
        Why the host's processes can not be named, in words for a person; None if they can.

        The driver's PIDs are evidence: one that is found is enough, and none of several is a verdict. Without them
        PID 2 tells, which is the kernel's thread daemon on a host only, and then PID 1.
        """
        if any((self._root / str(pid) / "stat").exists() for pid in pids):
            return None
        if pids:
            return (
                f"none of the {len(pids)} processes that the driver names is in {self._root}: the pod needs hostPID, "
                "or the host's /proc mounted there"
            )
        if self._comm(2) == "kthreadd":
            return None
        try:
            init = parse_cgroup(self._text("1/cgroup"))
        except OSError:
            return f"{self._root} has no process 1: the host's /proc is not mounted there"
        command = self._comm(1)
        if init.pod_uid:
            return f"process 1 of {self._root} runs in pod {init.pod_uid}: the pod needs hostPID"
        if command not in _INITS:
            return f"process 1 of {self._root} is {command or 'unknown'}, not a host's init: the pod needs hostPID"
        return None

    def _comm(self, pid: int) -> str:
        try:
            return self._text(f"{pid}/comm").strip()
        except OSError:
            return ""

    def _stat(self, pid: int) -> str:
        # One line, which the kernel gives whole: read each second for each process, so nothing asks for an end of it.
        number = os.open(f"{self._folder}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(number, _ONE_READ).decode("utf-8", "replace")
        finally:
            os.close(number)

    def _text(self, name: str) -> str:
        # Commands are bytes of the process's own choice. Read often, so without a file object.
        number = os.open(f"{self._folder}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = b""
            while part := os.read(number, _ONE_READ):
                text += part
        finally:
            os.close(number)
        return text.decode("utf-8", "replace")


def parse_stat(text: str) -> tuple[int, str]:
    """
    The start of a process, in clock ticks since the boot, and its command, from its /proc/PID/stat.

    The command stands in parentheses and may hold spaces and parentheses itself. Raises ValueError.
    """
    head, closing, rest = text.rpartition(")")
    _, opening, command = head.partition("(")
    fields = rest.split(None, 20)
    if not (closing and opening) or len(fields) < 20:
        raise ValueError(f"not a /proc/PID/stat: {text[:80]!r}")
    return int(fields[19]), command


def parse_mps_percent(environment: bytes) -> int | None:
    """The part of a GPU's threads that a process was started with under MPS; None if it is not limited."""
    found = _MPS_PERCENT.search(environment)
    percent = int(found[1]) if found else 0
    return percent if 0 < percent <= 100 else None


def parse_booted_at_ns(text: str) -> int:
    """When the node booted, in wall nanoseconds, from /proc/stat; it has whole seconds. Raises ValueError."""
    if (found := re.search(r"^btime (\d+)$", text, re.MULTILINE)) is None:
        raise ValueError("/proc/stat has no btime")
    return int(found[1]) * NS_PER_SECOND
