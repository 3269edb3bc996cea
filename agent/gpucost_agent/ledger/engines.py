"""A GPU's engines over time: the whole GPU, or its instances in MIG mode, each with what is known of its activity."""

from collections.abc import Iterable
from dataclasses import dataclass

from gpucost_agent.ledger.activity import Activity, Seen
from gpucost_agent.ledger.spans import Efficiency
from gpucost_agent.ledger.usage import EQUAL, MEMORY, Process
from gpucost_agent.readings import ActivitySource, ActivitySpan, GpuInstance, Partition

Made = tuple[str, int, tuple[str, ...]]
"""What tells two instances of one number apart: profile, placement, and the UUIDs inside."""


@dataclass(slots=True)
class _Engine:
    gi: int | None
    made: Made | None
    begin_ns: int
    end_ns: int | None
    activity: Activity[Process]


class Engines:
    """The engines of one GPU. An instance that is made anew under an old number is a new engine."""

    def __init__(self, from_ns: int) -> None:
        self._engines = [_Engine(None, None, from_ns, None, Activity(from_ns))]

    def cut(self, at_ns: int, partition: Partition) -> None:
        """The GPU is partitioned so from *at_ns* on."""
        wanted: dict[int | None, Made | None] = (
            {each.gi: _made(each) for each in partition.instances} if partition.mig else {None: None}
        )
        for engine in self._engines:
            if engine.end_ns is None and (engine.gi not in wanted or wanted[engine.gi] != engine.made):
                engine.end_ns = at_ns
        living = {engine.gi for engine in self._engines if engine.end_ns is None}
        for gi, made in wanted.items():
            if gi not in living:
                self._engines.append(_Engine(gi, made, at_ns, None, Activity(at_ns)))

    @property
    def whole(self) -> Activity[Process] | None:
        """The whole GPU, while it is not partitioned."""
        return next(
            (each.activity for each in self._engines if each.gi is None and each.end_ns is None), None
        )

    def add_spans(self, source: ActivitySource, spans: Iterable[ActivitySpan]) -> None:
        """
        Add what a source says, each to the engine that lives now.

        What an exporter still says of an instance that was made meanwhile may be of the one before it.
        """
        for span in spans:
            for engine in self._engines:
                is_its = engine.gi == span.gi and engine.end_ns is None
                if is_its and (span.gi is None or span.since_ns >= engine.begin_ns):
                    engine.activity.add_span(source, span)

    def at(self, gi: int | None, instant_ns: int) -> Activity[Process] | None:
        """The activity of the engine that had this number at an instant; None if none had."""
        for engine in self._engines:
            if engine.gi == gi and engine.begin_ns <= instant_ns < (engine.end_ns or instant_ns + 1):
                return engine.activity
        return None

    def forget_before(self, instant_ns: int) -> None:
        """Drop what no interval from *instant_ns* on needs."""
        self._engines = [each for each in self._engines if each.end_ns is None or each.end_ns > instant_ns]
        for engine in self._engines:
            engine.activity.forget_before(instant_ns)


def over_parts(seen: Seen, instance: GpuInstance, memory: dict[int, int], held: set[int]) -> dict[int, Seen]:
    """
    What of an instance's activity is of each compute instance in it, by number.

    No source says that. One that is alone did all of it; of several those did that have memory there, in proportion
    to it, else all that are held worked equally. None works for longer than it was watched: the rest is others'.
    """
    slices = {part.ci: part.compute_slices for part in instance.parts}
    whole = max(instance.compute_slices, sum(slices.values()))
    work_ns = seen.busy_ns * whole
    weights, method = (
        {ci: held_bytes for ci, held_bytes in memory.items() if held_bytes and ci in slices},
        MEMORY,
    )
    if not weights:
        weights, method = {ci: slices[ci] for ci in slices if ci in held or not held & set(slices)}, EQUAL
    if len(slices) == 1:
        method = seen.method
    found: dict[int, Seen] = {}
    room = {ci: seen.watched_ns * part for ci, part in slices.items()}
    poured = _pour(work_ns, room, weights)
    if all(poured[ci] == room[ci] for ci in weights):
        others = {ci: part for ci, part in slices.items() if ci not in weights}
        poured |= _pour(work_ns - sum(poured.values()), room, others)
    for ci, part in slices.items():
        busy_ns = poured.get(ci, 0) // part if part else 0
        sampled = len(slices) == 1
        found[ci] = Seen(
            method if seen.watched_ns else "",
            seen.watched_ns,
            min(busy_ns, seen.watched_ns),
            seen.samples if sampled else 0,
            seen.efficiency if sampled and part == whole else Efficiency(),
        )
    return found


def _pour(amount: int, room: dict[int, int], weights: dict[int, int]) -> dict[int, int]:
    """*amount* over *weights*, none more than its *room*; what does not fit goes to the others."""
    poured = dict.fromkeys(weights, 0)
    open_ = set(weights)
    while amount and open_:
        total = sum(weights[ci] for ci in open_)
        if not total:
            break
        given = {ci: min(room[ci] - poured[ci], amount * weights[ci] // total) for ci in open_}
        for ci, part in given.items():
            poured[ci] += part
        amount -= sum(given.values())
        full = {ci for ci in open_ if poured[ci] >= room[ci]}
        if not full:
            break
        open_ -= full
    return poured


def _made(instance: GpuInstance) -> Made:
    return instance.profile, instance.placement, tuple(part.uuid for part in instance.parts)
