"""Follows single instances of a GPU through its MIG layouts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from simnode.world import ComputeInstance, Gpu, GpuInstance, Layout

MOST_INSTANCES = 8
"""How many instances a GPU has at most at a time; the library has room for as many."""


@dataclass(frozen=True, slots=True)
class Home:
    """A GPU instance from its making to its end. *number* counts those of a GPU, from 1."""

    number: int
    begin_ns: int
    end_ns: int | None
    instance: GpuInstance

    def lives(self, at_ns: int) -> bool:
        return self.begin_ns <= at_ns and (self.end_ns is None or at_ns < self.end_ns)


@dataclass(frozen=True, slots=True)
class Engine:
    """
    A compute instance from its making to its end: what runs one process at a time.

    *number* counts those of a GPU, from 1. *slot* is its place among the GPU's MIG devices, *home* its Home's number.
    """

    number: int
    begin_ns: int
    end_ns: int | None
    instance: GpuInstance
    part: ComputeInstance
    slot: int
    home: int

    @property
    def key(self) -> tuple[int, int]:
        return self.instance.gi, self.part.ci

    def lives(self, at_ns: int) -> bool:
        return self.begin_ns <= at_ns and (self.end_ns is None or at_ns < self.end_ns)


@dataclass(frozen=True, slots=True)
class Timeline:
    """All instances that a GPU ever has, by beginning, and the spans in which MIG is off."""

    homes: tuple[Home, ...]
    engines: tuple[Engine, ...]
    whole: tuple[tuple[int, int | None], ...]

    def engine(self, gi: int, ci: int, at_ns: int) -> Engine | None:
        return next((e for e in self.engines if e.key == (gi, ci) and e.lives(at_ns)), None)

    def whole_until(self, at_ns: int) -> int | None:
        """When MIG is switched on, of an instant at which it is off."""
        return next(
            (end for begin, end in self.whole if begin <= at_ns and (end is None or at_ns < end)), None
        )


def same_place(one: GpuInstance, other: GpuInstance) -> bool:
    return (one.gi, one.profile, one.start) == (other.gi, other.profile, other.start)


@lru_cache(maxsize=256)
def timeline(gpu: Gpu) -> Timeline:
    """A compute instance goes on while consecutive layouts have it; a GPU instance while one of its own does."""
    homes: list[Home] = []
    engines: list[Engine] = []
    for layout, end in _spans(gpu):
        at = layout.at_ns
        old_homes = {h.instance.gi: h for h in homes if h.end_ns == at}
        old_engines = {e.key: e for e in engines if e.end_ns == at}
        slots = {
            e.slot for i in layout.instances for p in i.compute_instances if (e := _kept(old_engines, i, p))
        }
        for instance in layout.instances:
            home = old_homes.get(instance.gi)
            if home and _goes_on(home.instance, instance):
                homes[home.number - 1] = home = replace(home, end_ns=end, instance=instance)
            else:
                homes.append(home := Home(len(homes) + 1, at, end, instance))
            for part in instance.compute_instances:
                old = _kept(old_engines, instance, part)
                if old:
                    engines[old.number - 1] = replace(old, end_ns=end, instance=instance, part=part)
                    continue
                slot = min(set(range(MOST_INSTANCES)) - slots)
                slots.add(slot)
                engines.append(Engine(len(engines) + 1, at, end, instance, part, slot, home.number))
    return Timeline(tuple(homes), tuple(engines), tuple(_whole(gpu)))


def _spans(gpu: Gpu) -> list[tuple[Layout, int | None]]:
    ends = [layout.at_ns for layout in gpu.layouts[1:]]
    return list(zip(gpu.layouts, [*ends, None], strict=True)) if gpu.layouts else []


def _goes_on(old: GpuInstance, new: GpuInstance) -> bool:
    before, after = ({part.uuid for part in one.compute_instances} for one in (old, new))
    return same_place(old, new) and (not before or not after or bool(before & after))


def _kept(old: dict[tuple[int, int], Engine], instance: GpuInstance, part: ComputeInstance) -> Engine | None:
    engine = old.get((instance.gi, part.ci))
    same = engine and same_place(engine.instance, instance)
    return (
        engine
        if engine and same and (engine.part.uuid, engine.part.slices) == (part.uuid, part.slices)
        else None
    )


def _whole(gpu: Gpu) -> list[tuple[int, int | None]]:
    spans: list[tuple[int, int | None]] = []
    since: int | None = 0
    for layout in gpu.layouts:
        if layout.off and since is None:
            since = layout.at_ns
        elif not layout.off and since is not None:
            if layout.at_ns > since:
                spans.append((since, layout.at_ns))
            since = None
    return spans if since is None else [*spans, (since, None)]
