"""From counters of activity to what DCGM has cached of each GPU or GPU instance. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simnode import dcgm_fields as fields
from simnode.dcgm_fields import Field, Value
from simnode.device_plugin import Engine, engines
from simnode.mapping_reader import EngineCounters
from simnode.world import Node

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Entity:
    """What DCGM watches: a GPU, or each GPU instance of a partitioned one."""

    gpu: int
    gi: int | None
    profile: str
    values: Mapping[Field, Value]


class Means:
    """Turns counters into means since they were last taken; an engine is new if its UUID is."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._scale = 1.0 if node.dcgm is None else node.dcgm.scale
        self._before: dict[str, EngineCounters] = {}

    def take(self, counters: Sequence[EngineCounters]) -> tuple[Entity, ...]:
        entities: dict[tuple[int, int | None], list[tuple[Engine, EngineCounters]]] = defaultdict(list)
        for one in counters:
            if (engine := self._engine(one)) is not None:
                entities[one.gpu, one.gi].append((engine, one))
        found = tuple(self._entity(parts) for parts in entities.values())
        self._before = {one.uuid: one for one in counters}
        return found

    def _engine(self, one: EngineCounters) -> Engine | None:
        """What the scenario says of it; None if the mapping is another scenario's."""
        if one.gpu >= len(self._node.gpus):
            return None
        now = engines(self._node.gpus[one.gpu], one.as_of_ns)
        return next((engine for engine in now if engine.uuid == one.uuid), None)

    def _entity(self, parts: list[tuple[Engine, EngineCounters]]) -> Entity:
        engine, one = parts[0]
        used, total = one.memory_used // MIB, one.memory_total // MIB
        busy = self._mean(parts, "busy_ns")
        values: dict[Field, Value] = {
            fields.POWER: one.power_mw / 1000,
            fields.ENERGY: one.energy_mj,
            fields.FB_USED: used,
            fields.FB_FREE: total - used,
            # DCGM has no utilization of instances, as NVML has none.
            fields.GPU_UTIL: None if one.gi is not None or busy is None else round(100 * busy),
            fields.GRAPHICS: self._scaled(busy),
            fields.SM: self._scaled(self._mean(parts, "sm_ns")),
            fields.TENSOR: self._scaled(self._mean(parts, "tensor_ns")),
            fields.DRAM: self._scaled(self._mean(parts, "dram_ns")),
        }
        return Entity(one.gpu, one.gi, "" if engine.instance is None else engine.instance.profile, values)

    def _mean(self, parts: list[tuple[Engine, EngineCounters]], name: str) -> float | None:
        """Of a GPU instance: by the slices of its compute instances, so that all of them busy is 1."""
        mean = 0.0
        for engine, now in parts:
            before = self._before.get(now.uuid)
            if before is None or now.as_of_ns <= before.as_of_ns:
                return None
            ran = (getattr(now, name) - getattr(before, name)) / (now.as_of_ns - before.as_of_ns)
            if engine.instance is not None and engine.compute is not None:
                ran *= engine.compute.slices / engine.instance.slices
            mean += ran
        return mean

    def _scaled(self, mean: float | None) -> float | None:
        return None if mean is None else mean * self._scale
