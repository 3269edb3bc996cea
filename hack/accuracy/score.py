"""One run's answers against its truth: a line a holder, and whether the books of each GPU and window close."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from accuracy import expected, plan, rivals, theory
from accuracy import truth as truths
from accuracy.expected import CHANGE_NS, Dues, Time
from accuracy.looks import Stall
from accuracy.modes import NONE, Mode, mode_of
from accuracy.plan import GpuPlan
from accuracy.stage import SCRAPE_S, Recording
from accuracy.truth import HOST, Device, Truth, Who

CONTAINER = "container"


@dataclass(slots=True)
class Line:
    """
    One holder of one device: times of the whole GPU in nanoseconds, true and as the slices have them.

    *held_up*: holders or the layout changed while its agent could not look.
    """

    mode: str
    who: str
    device_ns: float
    watched_ns: float
    used_true_ns: float
    used_ns: float
    charged_true_ns: float
    charged_ns: float
    idle_ns: float
    changes: int
    held_up: bool
    weight: float
    request_ns: float
    gauge_ns: float | None
    last_second_ns: float | None
    wrong_methods: tuple[str, ...]


@dataclass(slots=True)
class ModeScore:
    """A mode of one run. *theory* is errors as theory draws them; *off_ns* is by how much books do not close."""

    source: str
    allowed: tuple[str, ...]
    why: str
    methods: set[str] = field(default_factory=set)
    samples: int = 0
    lines: list[Line] = field(default_factory=list)
    theory: list[float] = field(default_factory=list)
    books: int = 0
    off_ns: int = 0
    stranger_ns: float = 0
    false_shadows: int = 0
    device_ns: int = 0
    unmeasured_ns: int = 0
    windows: int = 0
    left_out: int = 0


@dataclass(slots=True)
class Score:
    """A run."""

    seed: int
    modes: dict[str, ModeScore]
    longest_look_s: float
    troubles: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        modes = {name: {**asdict(mode), "methods": sorted(mode.methods)} for name, mode in self.modes.items()}
        return {
            "seed": self.seed,
            "modes": modes,
            "longest_look_s": self.longest_look_s,
            "troubles": list(self.troubles),
        }


@dataclass(slots=True)
class _Seen:
    """A holder's slice of a window."""

    used_ns: int = 0
    idle_ns: int = 0
    charged_ns: int = 0
    methods: set[str] = field(default_factory=set)
    samples: int = 0


Seen = dict[tuple[Device, Who], dict[int, _Seen]]


def score(recording: Recording, scenario: str) -> Score:
    """Compare everything."""
    time = Time(recording.begin_ns, recording.end_ns, recording.window_ns)
    truth = truths.read(recording.truth)
    plans = plan.read(scenario, truth.run)
    modes = {
        key: mode_of(key, device, plans[key.gpu_uuid])
        for key, device in truth.devices.items()
        if device.everybody()
    }
    found: dict[str, ModeScore] = {}
    for mode in modes.values():
        found.setdefault(mode.name, ModeScore(mode.source, mode.methods, mode.why))
    seen = _seen(recording.slices)
    _books(recording.slices, time, modes, found)
    unwatched = _unwatched(recording.slices, plans, modes, time, found)
    dues = expected.expect(truth, plans, time)
    peers = (
        rivals.requests(truth, time),
        rivals.gauges(truth, recording.peers, time, int(SCRAPE_S * truths.NS)),
        rivals.last_seconds(truth, recording.peers, time, int(SCRAPE_S * truths.NS)),
    )
    table = _Table(truth, plans, time, dues, seen, unwatched, peers, recording.stalls)
    for (key, who), windows in dues.items():
        if who.kind in (CONTAINER, HOST.kind) and any(due.device_ns for due in windows.values()):
            table.add(found[modes[key].name], modes[key], key, who)
    _strangers(seen, dues, modes, found)
    _false_shadows(recording.slices, truth, modes, found)
    for key, mode in modes.items():
        if mode.source != NONE:
            found[mode.name].theory += theory.errors(plans[key.gpu_uuid], key, mode, time)
    return Score(truth.run["seed"], found, recording.longest_look_s, recording.troubles)


@dataclass(frozen=True, slots=True)
class _Table:
    truth: Truth
    plans: Mapping[str, GpuPlan]
    time: Time
    dues: Dues
    seen: Seen
    unwatched: set[tuple[Device, int]]
    peers: tuple[rivals.Readings, rivals.Readings, rivals.Readings]
    stalls: tuple[Stall, ...]

    def add(self, mode_score: ModeScore, mode: Mode, key: Device, who: Who) -> None:
        """The line of one holder."""
        dues, seen = self.dues[key, who], self.seen.get((key, who), {})
        watched = [start for start in {*dues, *seen} if (key, start) not in self.unwatched]
        methods = {name for each in seen.values() if each.used_ns for name in each.methods}
        samples = sum(each.samples for each in seen.values() if each.used_ns)
        mode_score.methods |= methods
        mode_score.samples += samples
        device_ns = sum(due.device_ns for due in dues.values())
        wall_ns: int = sum(
            max(0, min(hold.until_ns, self.time.end_ns) - max(hold.since_ns, self.time.begin_ns))
            for hold in self.truth.devices[key].holds
            if hold.who == who
        )
        request, gauge, last = (each.get((key, who)) for each in self.peers)
        edges = expected.changes(self.truth, self.plans, self.time, key, who)
        mode_score.lines.append(
            Line(
                mode=mode.name,
                who=f"{key.gpu_uuid[:12]} {who}",
                device_ns=device_ns,
                watched_ns=sum(dues[start].device_ns for start in watched if start in dues),
                used_true_ns=sum(dues[start].used_ns for start in watched if start in dues),
                used_ns=sum(seen[start].used_ns for start in watched if start in seen),
                charged_true_ns=sum(due.charged_ns for due in dues.values()),
                charged_ns=sum(each.charged_ns for each in seen.values()),
                idle_ns=sum(each.idle_ns for each in seen.values()),
                changes=len(edges),
                held_up=any(
                    stall.node == self.plans[key.gpu_uuid].node
                    and stall.begin_ns - CHANGE_NS < edge < stall.end_ns + CHANGE_NS
                    for edge in edges
                    for stall in self.stalls
                ),
                weight=device_ns / wall_ns if wall_ns else 1.0,
                request_ns=request or 0.0,
                gauge_ns=gauge,
                last_second_ns=last,
                wrong_methods=tuple(sorted(methods - set(mode.methods))),
            )
        )


def _seen(slices: tuple[dict[str, Any], ...]) -> Seen:
    found: Seen = defaultdict(lambda: defaultdict(_Seen))
    for row in slices:
        each = found[device_of(row), who_of(row)][int(row["window_start_ns"])]
        used, idle, unmeasured = (int(row[f"{name}_ns"] or 0) for name in ("used", "idle", "unmeasured"))
        each.used_ns += used
        each.idle_ns += idle
        each.charged_ns += used + idle + unmeasured
        each.methods.add(row["method"] or "")
        each.samples += int(row["samples"] or 0)
    return found


def device_of(row: Mapping[str, Any]) -> Device:
    """A slice's device."""
    gi, ci, placement = (None if row[name] is None else int(row[name]) for name in ("gi", "ci", "placement"))
    return Device(row["gpu_uuid"], gi, ci, row["profile"] or "", placement)


def who_of(row: Mapping[str, Any]) -> Who:
    """A slice's holder; of the host there is one, and of the others those who are called by a reason."""
    if row["holder_kind"] == CONTAINER:
        return Who(CONTAINER, *(row[name] or "" for name in ("namespace", "pod", "pod_uid", "container")))
    return HOST if row["holder_kind"] == HOST.kind else Who(row["holder_kind"], container=row["reason"] or "")


def _books(
    slices: tuple[dict[str, Any], ...], time: Time, modes: Mapping[Device, Mode], found: dict[str, ModeScore]
) -> None:
    """Charged time and reserved time of each GPU and window, against its length."""
    charged: dict[tuple[str, int], int] = defaultdict(int)
    reserved: dict[tuple[str, int], int] = defaultdict(int)
    for row in slices:
        at = row["gpu_uuid"], int(row["window_start_ns"])
        charged[at] += sum(int(row[f"{name}_ns"] or 0) for name in ("used", "idle", "unmeasured"))
        reserved[at] += int(row["reserved_ns"] or 0)
    for uuid in {key.gpu_uuid for key in modes}:
        names = {mode.name for key, mode in modes.items() if key.gpu_uuid == uuid}
        for start, _ in time.windows():
            off = sum(abs(sums.get((uuid, start), 0) - time.window_ns) for sums in (charged, reserved))
            for name in names:
                found[name].books += 1
                found[name].off_ns += off


def _unwatched(
    slices: tuple[dict[str, Any], ...],
    plans: Mapping[str, GpuPlan],
    modes: Mapping[Device, Mode],
    time: Time,
    found: dict[str, ModeScore],
) -> set[tuple[Device, int]]:
    """Windows of devices in which somebody says that nobody watched; what was used then is not compared."""
    unmeasured: dict[tuple[Device, int], int] = defaultdict(int)
    for row in slices:
        key, unknown = device_of(row), int(row["unmeasured_ns"] or 0)
        unmeasured[key, int(row["window_start_ns"])] += unknown
        if key in modes:
            found[modes[key].name].unmeasured_ns += unknown
            found[modes[key].name].device_ns += unknown + int(row["used_ns"] or 0) + int(row["idle_ns"] or 0)
    left_out = set()
    for key, mode in modes.items():
        for start, _ in time.windows():
            found[mode.name].windows += 1
            if unmeasured.get((key, start), 0) > 2 * plans[key.gpu_uuid].driver.period_ns:
                found[mode.name].left_out += 1
                left_out.add((key, start))
    return left_out


def _strangers(seen: Seen, dues: Dues, modes: Mapping[Device, Mode], found: dict[str, ModeScore]) -> None:
    """What was charged to containers or to the host that had nothing to do with the device."""
    for (key, who), windows in seen.items():
        if who.kind in (CONTAINER, HOST.kind) and (key, who) not in dues and key in modes:
            found[modes[key].name].stranger_ns += sum(each.charged_ns for each in windows.values())


def _false_shadows(
    slices: tuple[dict[str, Any], ...],
    truth: Truth,
    modes: Mapping[Device, Mode],
    found: dict[str, ModeScore],
) -> None:
    """Slices that call somebody a shadow user who holds the device."""
    for row in slices:
        key = device_of(row)
        if "shadow" in row["flags"] and any(hold.who == who_of(row) for hold in truth.devices[key].holds):
            found[modes[key].name].false_shadows += 1


__all__ = ["CHANGE_NS", "Line", "ModeScore", "Score", "score"]
