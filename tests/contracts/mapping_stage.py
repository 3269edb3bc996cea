"""Who is charged for what on simulated nodes: a stage is played once, and many tests look at what the agents kept."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpucost.cost_slice import CostSlice
from gpucost.identity import Holder, HolderKind, NodeId
from gpucost.v1 import stream_pb2
from gpucost.wire import batch_from_message

from contracts.node_stage import CLUSTER, SECOND, Stage

Flags = dict[str, dict[str, str]]
_LEADS_S = (12, 30, 75)
"""How long before a scenario's first event its agents may begin; the next if a machine is too slow for one."""


@dataclass(frozen=True)
class NodeStory:
    """One node of a run: its GPUs in the driver's order, and what its agent kept, said, and showed at its end."""

    gpus: tuple[str, ...]
    slices: tuple[CostSlice, ...] = field(repr=False)
    end_ns: int
    log: str = field(repr=False)
    metrics: str = field(repr=False)

    def on(self, gpu_uuid: str) -> tuple[CostSlice, ...]:
        """The slices of one GPU."""
        return tuple(row for row in self.slices if row.key.device.gpu_uuid == gpu_uuid)

    def of(self, pod: str, container: str = "") -> tuple[CostSlice, ...]:
        """The slices of one pod, or of one container of it."""
        return tuple(
            row
            for row in self.slices
            if row.key.holder.pod == pod and container in ("", row.key.holder.container)
        )

    def by(self, kind: HolderKind, reason: str = "") -> tuple[CostSlice, ...]:
        """The slices of a kind of holder."""
        return tuple(
            row
            for row in self.slices
            if row.key.holder.kind is kind and reason in ("", row.key.holder.reason)
        )

    def length_ns(self, gpu_uuid: str) -> int:
        """How long the agent kept the books of a GPU."""
        return sum(row.time.charged_ns for row in self.on(gpu_uuid))

    def gauge(self, name: str, **labels: str) -> float:
        """A number of its /metrics; 0 where it is not there."""
        words = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
        line = re.search(
            rf"^{name}{re.escape('{' + words + '}') if words else ''} (\S+)$", self.metrics, re.MULTILINE
        )
        return float(line[1]) if line else 0.0


@dataclass(frozen=True)
class Run:
    """What was left of a run. *begin_ns* is when its first event was due."""

    nodes: Mapping[str, NodeStory]
    truth: list[dict[str, Any]] = field(repr=False)
    begin_ns: int


def play(
    scenario: str | Callable[[int], str],
    seconds: float,
    flags: Flags | None = None,
    prepare: Callable[[Stage], None] = lambda _: None,
) -> Run:
    """
    Agents for *seconds* on the nodes of *scenario*, all of them.

    Where it is asked for a text, its events begin so many seconds after its start: not before every agent looks.
    *prepare* is called before the agents begin.
    """
    for lead_s in _LEADS_S if callable(scenario) else (0,):
        with Stage(scenario(lead_s) if callable(scenario) else scenario, flags) as stage:
            prepare(stage)
            stage.start_agents()
            if lead_s and stage.seconds > lead_s:
                continue
            stage.wait(max(float(lead_s), stage.seconds) + seconds)
            metrics = {node: agent.get("/metrics")[1] for node, agent in stage.agents.items()}
            stage.stop_agents()
            stage.stop_outside()
            truth = [json.loads(line) for line in stage.truth.read_text().splitlines()]
            gpus = {
                node["node"]: tuple(gpu["gpu_uuid"] for gpu in node["gpus"]) for node in truth[0]["nodes"]
            }
            nodes = {
                node: NodeStory(gpus[node], *kept(agent.spool, node), agent.program.said(), metrics[node])
                for node, agent in stage.agents.items()
            }
            return Run(nodes, truth, stage.start_ns + lead_s * SECOND)
    raise AssertionError(f"no agent began within {_LEADS_S[-1]} s")


def kept(spool: Path, node: str) -> tuple[tuple[CostSlice, ...], int]:
    """Every slice in a spool, oldest window first, and until when the books are closed."""
    with sqlite3.connect(f"file:{spool}/spool.sqlite?mode=ro", uri=True) as database:
        rows = database.execute("SELECT message FROM batches ORDER BY sequence_number").fetchall()
    database.close()
    batches = [batch_from_message(stream_pb2.Batch.FromString(row[0]), NodeId(CLUSTER, node)) for row in rows]
    return tuple(row for batch in batches for row in batch.slices), batches[-1].closed_through_ns


def reserved_ns(rows: Iterable[CostSlice]) -> int:
    return sum(row.time.reserved_ns for row in rows)


def used_ns(rows: Iterable[CostSlice]) -> int:
    return sum(row.time.used_ns for row in rows)


def charged_ns(rows: Iterable[CostSlice]) -> int:
    return sum(row.time.charged_ns for row in rows)


def holders(rows: Iterable[CostSlice]) -> set[Holder]:
    return {row.key.holder for row in rows}


def named(rows: Iterable[CostSlice]) -> set[str]:
    """Whom they charge: pods' containers, and the others by their kind and reason."""
    return {
        f"{holder.pod}/{holder.container}"
        if holder.kind is HolderKind.CONTAINER
        else f"{holder.kind.value} {holder.reason}".rstrip()
        for holder in holders(rows)
    }
