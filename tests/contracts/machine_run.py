"""A drawn life, played in real time on simulated nodes with real agents; and what is wrong with what they kept."""

import json
import signal
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

from gpucost.cost_slice import CostSlice
from gpucost.identity import HolderKind

from contracts.machine_plan import GRACE_S, Command, Plan
from contracts.node_stage import ROOT, SECOND, NodeAgent, Stage, play, wait_for
from contracts.run_books import Books, who
from contracts.run_laws import Laws
from simnode.scenario import load
from simnode.world import Gpu

_LEADS_S = (7, 40, 100)
"""How long before its life the nodes begin; the next if a machine is too slow for one."""

_ENDS = (0, 3, -signal.SIGTERM)
"""An agent that is asked to end before it can hear is ended by the signal itself."""

_LATENESS_S = 10.0
_EDGE_S = 2.5
"""How wrong an instant may be at which somebody began or ended to hold, or was seen no more."""

_CLOCK_S = 0.3
"""What of a step, and of what NTP might do, is not told from measuring."""

Spans = list[tuple[float, float]]


@dataclass
class NodeStory:
    """What was done to a node, in true seconds of the simulation: when nobody looked, and without a kubelet."""

    blind: Spans = field(default_factory=list)
    without_kubelet: Spans = field(default_factory=list)
    ends: int = 0


class Life:
    """One run of a plan. *breaches* is empty if all is well."""

    def __init__(self, plan: Plan, product: Path = ROOT) -> None:
        self.plan, self._product = plan, product
        self.breaches: list[str] = []
        self.windows = self.slices = 0
        self._stories: dict[str, NodeStory] = {}
        self._ahead_ms = self._stepped_ms = 0

    def live(self) -> "Life":
        """Play it."""
        names = [str(node["name"]) for node in self.plan.nodes]
        flags = {name: {"kubelet-grace-seconds": str(GRACE_S)} for name in names}
        stepping = any(command.what == "step" for command in self.plan.commands)
        for lead_s in _LEADS_S:
            scenario = self.plan.scenario(lead_s)
            with Stage(scenario, flags, stepping, self._product, self.plan.window_s) as stage:
                try:
                    stage.start_agents()
                except AssertionError:
                    if stage.seconds < lead_s:
                        raise
                    continue  # the driver had failed already
                if stage.seconds < lead_s:
                    self._stories = {name: NodeStory([(float("-inf"), stage.seconds)]) for name in names}
                    self._play(stage, lead_s)
                    return self
        raise AssertionError(f"no agent began within {_LEADS_S[-1]} s")

    def _play(self, stage: Stage, lead_s: int) -> None:
        try:
            play(
                stage,
                {
                    lead_s + command.at_s + place / 1_000: lambda command=command: self._do(stage, command)
                    for place, command in enumerate(self.plan.commands)
                },
            )
            # What the clock shows twice is charged once it has shown it, or by the next agent.
            stage.wait(lead_s + self.plan.seconds + self._back_s)
            end_s = stage.seconds
            stage.stop_agents()
            stage.stop_outside()
        except (AssertionError, TimeoutExpired) as trouble:
            self.breaches.append(f"the run: {trouble}")
            return
        nodes = {node.name: node for node in load(stage.scenario).clusters[0].nodes}
        truth = [json.loads(line) for line in stage.truth.read_text().splitlines()]
        for name, agent in stage.agents.items():
            books = Books(name, agent.spool, stage.start_ns)
            story = self._stories[name]
            laws = Laws(books, nodes[name], stage.window_ns, story.blind, stepped=bool(self._stepped_ms))
            of_node = [line for line in truth if line.get("node") == name]
            check = Check(books, story, of_node, self._stepped_ms / 1_000, end_s)
            found = [*laws.breaches(), *check.words(), *check.total(laws, nodes[name].gpus)]
            for gpu in nodes[name].gpus:
                fails = any(failure.gpu == gpu.index for failure in nodes[name].failures)
                found += check.gpu(gpu, fails)
            self.breaches += [f"{name}: {words}" for words in found + unsaid(agent)]
            self.windows += len(books.windows)
            self.slices += sum(len(window.rows) for window in books.windows)

    @property
    def _back_s(self) -> float:
        return sum(-command.amount for command in self.plan.commands if command.amount < 0) / 1_000

    def _do(self, stage: Stage, command: Command) -> None:
        if command.what == "step":
            self._ahead_ms += command.amount
            self._stepped_ms += abs(command.amount)
            stage.set_clock(self._ahead_ms * SECOND // 1_000)
        elif command.what.startswith("api"):
            stage.command(do=command.what)
        elif command.what.startswith("kubelet"):
            stage.command(do=command.what, node=command.node)
            spans = self._stories[command.node].without_kubelet
            if command.what == "kubelet_stop":
                spans.append((stage.seconds, float("inf")))
            else:
                spans[-1] = (spans[-1][0], stage.seconds)
        else:
            self._agent(stage, command)

    def _agent(self, stage: Stage, command: Command) -> None:
        agent, story = stage.agents[command.node], self._stories[command.node]
        program, ended = agent.program, agent.program.exit_code()
        if command.what in ("kill", "stop"):
            if ended is None and command.what == "kill":
                program.kill()
            elif ended is None:
                assert program.stop() in _ENDS, program.said()
            story.blind.append((stage.seconds - _LATENESS_S - 2 * self.plan.window_s, float("inf")))
            story.ends += 1
            return
        if command.what == "start after upgrade":
            assert program.wait() == 3, program.said()
            story.blind.append((command.at_s, float("inf")))
            story.ends += 1
        program.start()
        wait_for(lambda: agent.reads or program.exit_code() is not None)
        assert program.exit_code() is None, program.said()
        story.blind[-1] = (story.blind[-1][0], stage.seconds)


def unsaid(agent: NodeAgent) -> list[str]:
    """What no agent may ever say."""
    said = agent.program.said().splitlines()
    words = ("law_broken", "thread_failed", "Traceback")
    return [line[:500] for line in said if any(word in line for word in words)]


class Check:
    """Who pays, and for how much of it nobody knows, against the truth; of one node. All in seconds."""

    def __init__(
        self, books: Books, story: NodeStory, truth: list[dict[str, Any]], stepped_s: float, end_s: float
    ) -> None:
        self._books, self._story, self._truth = books, story, truth
        self._stepped_s, self._end_s = stepped_s, end_s

    def words(self) -> Iterator[str]:
        """A pod's slices have its own id, or none yet; one that nobody named yet is known by its id alone."""
        ids = {
            (line["namespace"], line["pod"]): line["pod_uid"]
            for line in self._truth
            if line["kind"] == "hold"
        }
        for row in self._books.rows():
            holder = row.key.holder
            known = {ids.get((holder.namespace, holder.pod)), ""} if holder.pod else set(ids.values())
            if holder.kind is HolderKind.CONTAINER and holder.pod_uid not in known:
                yield f"who: {holder} is {known}"

    def total(self, laws: Laws, gpus: tuple[Gpu, ...]) -> Iterator[str]:
        """All that ever was, for every GPU."""
        for gpu in gpus:
            charged_s = laws.charged_ns(gpu) / SECOND
            if abs(charged_s - self._end_s) > _CLOCK_S * (1 + self._stepped_s) + 3:
                yield f"law 6: GPU {gpu.index} lived {self._end_s:g} s and is charged {charged_s:g} s"

    def gpu(self, gpu: Gpu, fails: bool) -> Iterator[str]:
        """Nobody pays for more than it held or did, and nothing is unknown for longer than it had to be."""
        held: dict[str, float] = defaultdict(float)
        for line in self._of(gpu, "hold"):
            held[line["pod"]] += line["held_ns"] * len(line["replicas"]) / line["of_replicas"] / SECOND
        edges = len(held) + self._story.ends + len(self._story.without_kubelet)
        slack_s = _EDGE_S * (2 + edges) + self._stepped_s
        reserved, unknown = self._sums(gpu)
        for name, seconds in reserved.items():
            # Who never held it reserves nothing of it, not even by mistake.
            most_s = held[name] + 2 * _EDGE_S + GRACE_S + self._stepped_s if name in held else 0.0
            if seconds > most_s:
                yield f"who: GPU {gpu.index}: {name} reserved {seconds:g} s of it, at most {most_s:g} s"
        blind_s = sum(min(self._end_s, end) - max(0.0, begin) for begin, end in self._story.blind)
        away_s = sum(
            max(0.0, min(self._end_s, end) - begin - GRACE_S) for begin, end in self._story.without_kubelet
        )
        most = {
            "agent_gap": blind_s,
            "node_starting": max(0.0, self._story.blind[0][1]),
            "kubelet_away": away_s,
            # One that has no name when an agent begins is looked for again each half minute.
            "gpu_lost": self._end_s if fails else 0.0,
            "layout_unknown": self._end_s if gpu.layouts else 0.0,
            "unmapped": self._end_s,
        }
        for reason, seconds in unknown.items():
            if seconds > most.get(reason, 0.0) + slack_s:
                yield f"unobserved: GPU {gpu.index}: {reason} for {seconds:g} s, at most {most.get(reason, 0.0):g} s"
        if not gpu.layouts:
            yield from self._use(gpu)

    def _use(self, gpu: Gpu) -> Iterator[str]:
        """Used and idle is only what was watched; the driver's whole percents move a part of it."""
        slack_s = _EDGE_S + self._stepped_s
        busy_s = sum(line["busy_ns"] for line in self._of(gpu, "gpu")) / SECOND
        rows = list(self._books.rows(gpu.uuid))
        used_s = sum(row.time.used_ns for row in rows) / SECOND
        idle_s = sum(row.time.idle_ns for row in rows) / SECOND
        if used_s > 1.05 * busy_s + slack_s:
            yield f"use: GPU {gpu.index} was busy for {busy_s:g} s, used {used_s:g} s"
        if idle_s > 1.05 * (self._end_s - busy_s) + slack_s:
            yield f"law 9: GPU {gpu.index} was idle for {self._end_s - busy_s:g} s, idle {idle_s:g} s"

    def _sums(self, gpu: Gpu) -> tuple[dict[str, float], dict[str, float]]:
        """What pods reserve, in their device's own time; and what nobody knows, in the GPU's, by reason."""
        reserved: dict[str, float] = defaultdict(float)
        unknown: dict[str, float] = defaultdict(float)
        for row in self._books.rows(gpu.uuid):
            if row.key.holder.kind is HolderKind.CONTAINER:
                reserved[who(row)] += _own_s(row)
            elif row.key.holder.reason:
                unknown[row.key.holder.reason] += row.time.reserved_ns / SECOND
        return reserved, unknown

    def _of(self, gpu: Gpu, kind: str) -> list[dict[str, Any]]:
        return [line for line in self._truth if line["kind"] == kind and line["gpu_uuid"] == gpu.uuid]


def _own_s(row: CostSlice) -> float:
    numerator, denominator = row.weight
    return row.time.reserved_ns * denominator / numerator / SECOND
