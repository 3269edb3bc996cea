"""Everything fails once: on ten nodes by the driver and the cluster, on one more by its clock; and what is left."""

import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from contracts.node_stage import SECOND, Action, Stage, play, wait_for
from contracts.run_books import Books, Sums
from contracts.run_laws import Laws
from simnode.scenario import load
from simnode.world import Node

FOLDER = Path(__file__).parents[1] / "failures"
END_S = 112.0
GRACE_S = 10
LATEST_S = 18.0
"""Agents that do not look by then have too little time before the first failure."""

_LATER_S = (0, 20, 80)
"""By how much all of it begins later, if a machine is too slow for the one before."""

_TIMES = re.compile(r"\b(at|until|start|end): (\d+)s")
DAY_MS = 86_400_000
RESOLUTION_S = 3.0
"""A change lies between two looks, a second apart; a machine that is busy with other things looks later."""


def near(seconds: float) -> object:
    """As long as that, as well as it can be known."""
    return pytest.approx(seconds, abs=RESOLUTION_S)


@dataclass
class Run:
    """
    What is left of a run. *happened* is when commands were carried out, in seconds of the scenario.

    *later_s* is by how many seconds everything but the beginning was put off.
    """

    window_ns: int
    later_s: int = 0
    nodes: dict[str, Node] = field(default_factory=dict)
    books: dict[str, Books] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    happened: dict[str, float] = field(default_factory=dict)
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)

    def uuid(self, node: str, gpu: int) -> str:
        return self.nodes[node].gpus[gpu].uuid

    def paid(
        self, node: str, gpu: int, after_s: float = float("-inf"), before_s: float = float("inf")
    ) -> dict[str, Sums]:
        """By holder, of the windows that lie between two seconds as a whole."""
        uuid = self.uuid(node, gpu)
        return self.books[node].sums(uuid, after_s + self.later_s, before_s + self.later_s)

    def note(self, what: str, stage: Stage) -> None:
        """It happened now."""
        self.happened[what] = stage.seconds - self.later_s

    def laws(self, node: str, stepped: bool = False) -> Laws:
        # Whether an agent is there or not, layouts are only asked about on nodes whose agent is never away.
        blind = [(float("-inf"), self.happened["all look"] + self.later_s)]
        return Laws(self.books[node], self.nodes[node], self.window_ns, blind, stepped)

    def keep(self, stage: Stage) -> None:
        """What *stage* leaves behind."""
        self.nodes = {node.name: node for node in load(stage.scenario).clusters[0].nodes}
        for name, agent in stage.agents.items():
            self.books[name] = Books(name, agent.spool, stage.start_ns)
            self.said[name] = agent.program.said()


def play_failures(begun: Event) -> Run:
    """The driver and the cluster fail, each node in its way; *begun* once every agent looks."""
    grace = {"kubelet": {"kubelet-grace-seconds": str(GRACE_S)}}
    for later_s in _LATER_S:
        run = Run(5 * SECOND, later_s)
        with Stage(later("failures.yaml", later_s), grace) as stage:
            try:
                stage.start_agents()
            except AssertionError:
                if stage.seconds - later_s < LATEST_S:
                    raise
                continue  # the driver had failed already
            run.note("all look", stage)
            if run.happened["all look"] < LATEST_S:
                begun.set()
                _fail(run, stage)
                return run
    raise AssertionError(f"the agents of ten nodes did not begin within {LATEST_S + later_s:g} s")


def later(name: str, later_s: int) -> str:
    """A scenario of which everything but the beginning comes *later_s* later."""

    def put_off(time: re.Match[str]) -> str:
        seconds = int(time[2])
        return f"{time[1]}: {seconds + later_s if seconds else 0}s"

    return _TIMES.sub(put_off, (FOLDER / name).read_text())


def _fail(run: Run, stage: Stage) -> None:
    agents = {name: agent.program for name, agent in stage.agents.items()}

    def note(what: str) -> None:
        run.note(what, stage)

    def restart(node: str) -> None:
        agents[node].stop()
        note(f"{node} ended")
        agents[node].start()

    def start(node: str, what: str = "is back") -> None:
        agents[node].start()
        wait_for(lambda: stage.agents[node].reads)
        note(f"{node} {what}")

    def kubelet(there: str) -> None:
        stage.command(do=f"kubelet_{there}", node="kubelet")
        note(f"kubelet {there}")

    def upgraded() -> None:
        run.answers["upgrade"] = agents["upgrade"].wait(), agents["upgrade"].said()

    def ask_hang() -> None:
        wait_for(lambda: stage.agents["hang"].get("/readyz")[0] == 503)
        run.answers["readyz"] = stage.agents["hang"].get("/readyz")
        run.answers["healthz"] = stage.agents["hang"].get("/healthz")

    run.answers["before"] = stage.agents["hang"].get("/readyz")
    actions: dict[float, Action] = {
        30: lambda: kubelet("stop"),
        33: agents["crash"].kill,
        34: lambda: kubelet("start"),
        36: lambda: restart("rehang"),
        41: lambda: start("crash"),
        42: upgraded,
        45: lambda: start("upgrade"),
        50: lambda: kubelet("stop"),
        60: agents["crash"].stop,
        66: lambda: start("crash", "is back again"),
        75: lambda: kubelet("start"),
        84: lambda: stage.command(do="api_stop"),
        98: ask_hang,
        100: lambda: stage.command(do="api_start"),
        END_S: stage.stop_agents,
    }
    play(stage, {at_s + run.later_s: action for at_s, action in actions.items()})
    note("end")
    stage.stop_outside()
    run.keep(stage)


def play_clock() -> Run:
    """By a fifth of a second and by three seconds, both ways; agents end while the clock repeats what it showed."""
    return _play_steps(5, {20: 200, 30: 0, 45: 3_000, 60: 0, 85: -3_000}, {61: 65, 62: 66}, END_S)


def play_days() -> Run:
    """A day ahead, right again, and a day ahead once more; agents end in between."""
    return _play_steps(60, {25: DAY_MS, 45: 0, 70: DAY_MS}, {50: 53, 55: 58}, 90.0)


def _play_steps(window_s: int, steps_ms: dict[int, int], away: dict[int, int], end_s: float) -> Run:
    """*away*: from when to when the agent that is asked to end, and the one that is killed, are not there."""
    run = Run(window_s * SECOND)
    with Stage((FOLDER / "clock.yaml").read_text(), stepping=True, window_s=window_s) as stage:
        asked, killed = stage.agents["asked"].program, stage.agents["killed"].program
        (asked_s, asked_back_s), (killed_s, killed_back_s) = away.items()

        def set_clock(ahead_ms: int) -> None:
            stage.set_clock(ahead_ms * SECOND // 1_000)

        stage.start_agents()
        run.happened["all look"] = stage.seconds
        steps = {at_s: partial(set_clock, ahead_ms) for at_s, ahead_ms in steps_ms.items()}
        ends = {
            asked_s: asked.stop,
            asked_back_s: asked.start,
            killed_s: killed.kill,
            killed_back_s: killed.start,
        }
        play(stage, {**steps, **ends, end_s: stage.stop_agents})
        run.happened["end"] = stage.seconds
        run.keep(stage)
    return run
