"""What really happened, from the simulator's own record: who held which device, and who worked on it in each second."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

NS = 10**9


class Device(NamedTuple):
    """A whole GPU, or one compute instance, by the key that slices have too."""

    gpu_uuid: str
    gi: int | None = None
    ci: int | None = None
    profile: str = ""
    placement: int | None = None


class Who(NamedTuple):
    """Who pays. The host's processes are one."""

    kind: str
    namespace: str = ""
    pod: str = ""
    pod_uid: str = ""
    container: str = ""

    def __str__(self) -> str:
        return "/".join(name for name in (self.kind, self.namespace, self.pod, self.container) if name)


HOST = Who("host")


@dataclass(slots=True)
class Hold:
    """A container held so much of a device from one instant to another."""

    who: Who
    since_ns: int
    until_ns: int
    replicas: int
    of: int
    share: float
    claim: str
    hidden: bool


@dataclass(slots=True)
class DeviceTruth:
    """
    One device: holds by time, and busy time by second and holder.

    *overlap_ns* is by how much processes ran at the same time, which only MPS lets them. *threads* limits holders.
    """

    holds: list[Hold] = field(default_factory=list)
    busy: dict[Who, dict[int, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    threads: dict[Who, float] = field(default_factory=dict)
    ran_ns: int = 0
    busy_ns: int = 0
    _lives: dict[Who, tuple[int, int]] = field(default_factory=dict)

    @property
    def overlap_ns(self) -> int:
        return self.ran_ns - self.busy_ns

    def life(self, who: Who) -> tuple[int, int]:
        """From when to when somebody had to do with the device: by its holds, else by its work. Of a whole record."""
        if who in self._lives:
            return self._lives[who]
        spans = [(hold.since_ns, hold.until_ns) for hold in self.holds if hold.who == who]
        spans = spans or [(second * NS, (second + 1) * NS) for second in self.busy.get(who, ())]
        self._lives[who] = min(begin for begin, _ in spans), max(end for _, end in spans)
        return self._lives[who]

    def used(self, who: Who, begin_ns: int, end_ns: int) -> int:
        """
        Busy time of an interval.

        A second that the interval cuts counts by how much of the holder's life in it lies inside.
        """
        if who not in self.busy:
            return 0
        seconds, total = self.busy[who], 0
        since, until = self.life(who)
        for second in range(max(begin_ns, since) // NS, -(-min(end_ns, until) // NS)):
            busy = seconds.get(second, 0)
            if not busy:
                continue
            first, last = max(second * NS, since), min((second + 1) * NS, until)
            inside = max(0, min(last, end_ns) - max(first, begin_ns))
            total += busy if last <= first else busy * inside // (last - first)
        return total

    def everybody(self) -> set[Who]:
        """Who held the device or worked on it."""
        return {hold.who for hold in self.holds} | set(self.busy)


@dataclass(slots=True)
class Truth:
    """All devices of all nodes, and whose each PID was."""

    run: Mapping[str, Any]
    devices: dict[Device, DeviceTruth] = field(default_factory=lambda: defaultdict(DeviceTruth))
    pids: dict[tuple[str, int], tuple[Device, Who]] = field(default_factory=dict)


def read(lines: Iterable[Mapping[str, Any]]) -> Truth:
    """
    The record's lines. Its windows have to be seconds.

    Raises:
        ValueError: They are not, or the record has no beginning.
    """
    found: Truth | None = None
    for line in lines:
        if line["kind"] == "run":
            if line["window_seconds"] != 1 or line["start_ns"] % NS:
                raise ValueError("the truth has to be told by the second, from a whole one on")
            found = Truth(line)
        elif found is None:
            raise ValueError("the truth has no beginning")
        elif line["kind"] == "hold":
            _hold(found.devices[_device(line)], line)
        elif line["kind"] == "process":
            _process(found, line)
        elif line["kind"] in ("gpu", "device") and line["busy_ns"] is not None:
            is_again = line["kind"] == "device" and line.get("gi") is None
            if not is_again:
                found.devices[_device(line)].busy_ns += line["busy_ns"]
    if found is None:
        raise ValueError("the truth has no beginning")
    return found


def _hold(device: DeviceTruth, line: Mapping[str, Any]) -> None:
    hold = Hold(
        _who(line),
        line["since_ns"],
        line["until_ns"],
        len(line["replicas"]),
        line["of_replicas"],
        float(line.get("share", 1)),
        line.get("claim", ""),
        bool(line.get("hidden", False)),
    )
    for known in reversed(device.holds):
        if (known.who, known.claim) == (hold.who, hold.claim) and known.until_ns == hold.since_ns:
            known.until_ns = hold.until_ns
            return
    device.holds.append(hold)


def _process(truth: Truth, line: Mapping[str, Any]) -> None:
    key, who = _device(line), HOST if line["host"] else _who(line)
    device = truth.devices[key]
    device.busy[who][line["begin_ns"] // NS] += line["busy_ns"]
    device.ran_ns += line["busy_ns"]
    if "threads" in line:
        device.threads[who] = line["threads"]
    truth.pids[key.gpu_uuid, line["pid"]] = key, who


def _device(line: Mapping[str, Any]) -> Device:
    return Device(
        line["gpu_uuid"], line.get("gi"), line.get("ci"), line.get("profile", ""), line.get("placement")
    )


def _who(line: Mapping[str, Any]) -> Who:
    return Who("container", line["namespace"], line["pod"], line["pod_uid"], line["container"])
