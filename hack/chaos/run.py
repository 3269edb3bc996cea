"""One run: the faults of a plan on a stage, the quiet after them, and what is left to be compared."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass

from accuracy import plan as plans
from accuracy import truth as truths
from accuracy.answers import complete_through_ns
from chaos import answers, labels
from chaos.books import NS, ClusterTruth, Comparison, Verdict
from chaos.faults.fault import Fault, Steps
from chaos.log_book import LogBook
from chaos.plan import KINDS, Planned
from chaos.scenario_draw import Scene
from chaos.stage import Stage
from chaos.wish import WINDOW_S, Wish
from demo.audit import price_list, scenario
from demo.child import Trouble
from demo.wish import ROOT

_TICK_S = 0.02
_QUIET_S = 180.0
"""So long after the last fault every window has to be there."""

_SETTLED_S = 2.0
"""Answers are read when nothing has changed in them for so long."""

_GONE_STEP_NS = 16 * 60 * NS
"""A node is gone after a quarter of an hour of silence; the aggregator's clock lets that pass at once."""

_GONE_S = 100.0
_BEFORE_NS = 2 * 86_400 * NS
"""Of so long before the run there may be no books: a clock that is a day behind would put them there."""

_CATALOGUE = ROOT / "proto" / "gpucost" / "catalogue.csv"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run found, and the harness's own log."""

    verdict: Verdict
    book: LogBook


@dataclass
class _Playing:
    fault: Fault
    steps: Steps
    began_s: float


class Run:
    """Plays a plan. What is left of a run that fails stays in its stage's folder."""

    def __init__(self, wish: Wish, scene: Scene, planned: Sequence[Planned]) -> None:
        self._wish, self._scene = wish, scene
        self._waiting = list(planned)
        self._playing: list[_Playing] = []
        self.stage = Stage(wish, scene)

    def play(self) -> Outcome:
        """All of it. Raises Trouble."""
        stage = self.stage
        try:
            stage.start()
            self._say(f"{len(stage.agents)} agents look after {stage.seconds:.1f} s")
            self._faults()
            stage.calm()
            if stage.book.deaths:
                # From now on nobody waits for them.
                stage.pass_time(_GONE_STEP_NS)
            self._quiet()
            self._close_gone()
            found = self._ask()
        finally:
            stage.stop()
        return Outcome(self._compare(found), stage.book)

    def clean(self) -> None:
        """Take the folder away."""
        shutil.rmtree(self.stage.folder, ignore_errors=True)

    def _faults(self) -> None:
        stage = self.stage
        while self._waiting or self._playing or time.time_ns() < stage.end_ns:
            stage.supervise()
            self._begin_due()
            for playing in list(self._playing):
                try:
                    next(playing.steps)
                except StopIteration:
                    self._playing.remove(playing)
                    self._over(playing)
            if time.time_ns() > stage.end_ns:
                self._waiting.clear()
            time.sleep(_TICK_S)

    def _begin_due(self) -> None:
        held = frozenset[str]().union(*(playing.fault.needs for playing in self._playing))
        for planned in list(self._waiting):
            if planned.at_s > self.stage.seconds:
                return
            fault = self._fault(planned)
            if not fault.needs & held:
                self._waiting.remove(planned)
                self._playing.append(_Playing(fault, fault.fire(), self.stage.seconds))
            # Who waits keeps its turn, so that what needs much comes to it.
            held |= fault.needs

    def _fault(self, planned: Planned) -> Fault:
        agents = list(self.stage.agents.values())
        agent = agents[planned.agent]
        while agent.is_gone:
            agent = agents[(agents.index(agent) + 1) % len(agents)]
        return KINDS[planned.kind](self.stage, agent, planned.lasts_s)

    def _over(self, playing: _Playing) -> None:
        fault, book = playing.fault, self.stage.book
        (book.fired if fault.fired else book.missed)[fault.kind] += 1
        word = "" if fault.fired else " (did not hit)"
        self._say(
            f"{playing.began_s:.1f} to {self.stage.seconds:.1f} s: {fault.kind} {fault.agent.name}{word}"
        )

    def _say(self, words: str) -> None:
        self.stage.book.tell(time.time_ns(), words)
        print(f"  {words}", flush=True)

    def _quiet(self) -> None:
        """Until every window of the run is closed and stored, for those who still live."""
        deadline = time.monotonic() + _QUIET_S
        while time.monotonic() < deadline:
            self.stage.supervise()
            if self._is_complete():
                return
            time.sleep(0.5)
        self._say(f"{_QUIET_S:.0f} s after the last fault not every window is there")

    def _is_complete(self) -> bool:
        """Each living GPU has the last window, and the ledger answers up to it."""
        stage, last_ns = self.stage, self.stage.end_ns
        try:
            if (complete_through_ns(stage.base) or 0) < last_ns:
                return False
            rows = answers.ask(stage.base, last_ns - WINDOW_S * NS, last_ns).rows
        except (OSError, KeyError):
            return False
        seen = {row.device.gpu_uuid for row in rows}
        return all(place.is_gone or seen >= set(place.gpus) for place in stage.agents.values())

    def _close_gone(self) -> None:
        """Until the aggregator has closed the books of deleted nodes, as their silence is long enough."""
        stage, place = self.stage, self.stage.aggregator
        if not stage.book.deaths:
            return
        deadline = time.monotonic() + _GONE_S
        while '"node_gone"' not in place.said():
            stage.supervise()
            if time.monotonic() > deadline:
                self._say("the aggregator did not notice that a node is gone")
                return
            time.sleep(0.2)

    def _ask(self) -> answers.Answers:
        """What the ledger says once nothing moves any more."""
        stage, before, patience = self.stage, None, time.monotonic() + 60
        while time.monotonic() < patience:
            try:
                found = answers.ask(stage.base, stage.start_ns - _BEFORE_NS, stage.end_ns)
            except OSError:
                stage.supervise()
                time.sleep(0.5)
                continue
            if found == before:
                return found
            before = found
            time.sleep(_SETTLED_S)
        raise Trouble("the aggregator does not answer, or does not come to rest")

    def _compare(self, found: answers.Answers) -> Verdict:
        stage = self.stage
        prices = price_list.read(self._scene.prices, _CATALOGUE)
        clusters = []
        for name, text in self._scene.clusters.items():
            lines = stage.truth_file(name).read_text(encoding="utf-8").splitlines()
            truth = truths.read(map(json.loads, lines))
            (node, *_) = scenario.read(text, stage.facts[name]).nodes
            quote = prices.quote(node, node.gpus[0], stage.start_ns)
            steps = [(step.at_ns, step.ahead_ns) for step in stage.book.steps if step.cluster == name]
            windows = labels.windows(steps, stage.start_ns, stage.end_ns, WINDOW_S * NS)
            known = plans.read(text, truth.run)
            clusters.append(ClusterTruth(name, truth, known, windows, quote.nanodollars or 0))
        return Comparison(clusters, found, stage.book, WINDOW_S * NS).verdict()
