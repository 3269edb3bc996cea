"""
Random lives of nodes: whatever happens in whatever order, the laws hold in every window, and nobody else pays.

EXAMPLES lives of SECONDS seconds; without them a few short ones. A life that fails is printed as a whole; the same
SEED, EXAMPLES and SECONDS play it again.
"""

import os
from random import Random

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from contracts.machine_plan import NODES, NodeLife, plan_of
from contracts.machine_run import Life

EXAMPLES = int(os.environ.get("EXAMPLES") or 5)
SECONDS = float(os.environ.get("SECONDS") or 20)
SEED = int(os.environ.get("SEED") or 1)
STEPS = NODES * int(SECONDS)
_FEW = 8
"""Hypothesis begins with a life in which next to nothing happens; it is not worth a minute."""

PAUSES = st.integers(2, 30)
WHOSE = st.integers(0, NODES - 1)


class Nodes(RuleBasedStateMachine):
    """What is done to the nodes; when it is over, it is played in real time under real agents."""

    lived = 0

    @initialize(drawn=st.integers(0, 2**32 - 1))
    def begin(self, drawn: int) -> None:
        self.seed = SEED * 2**32 + drawn
        random = Random(self.seed)
        self.nodes = [NodeLife(random, f"n{number}", SECONDS) for number in range(NODES)]
        self.done = 0

    @rule(whose=WHOSE, pause=PAUSES)
    def start_pod(self, whose: int, pause: int) -> None:
        self._do(whose, pause, "start_pod")

    @rule(whose=WHOSE, pause=PAUSES)
    def start_another_pod(self, whose: int, pause: int) -> None:
        self._do(whose, pause, "start_pod")

    @rule(whose=WHOSE, pause=PAUSES)
    def stop_pod(self, whose: int, pause: int) -> None:
        self._do(whose, pause, "stop_pod")

    @rule(whose=WHOSE, pause=PAUSES)
    def recut(self, whose: int, pause: int) -> None:
        self._do(whose, pause, "recut")

    @rule(whose=WHOSE, pause=PAUSES)
    def fail(self, whose: int, pause: int) -> None:
        self._do(whose, pause, "fail")

    @rule(whose=WHOSE, pause=PAUSES)
    def end_agent(self, whose: int, pause: int) -> None:
        self._do(whose, pause, "end_agent")

    @rule(whose=WHOSE, pause=PAUSES)
    def away_kubelet(self, whose: int, pause: int) -> None:
        self._do(whose, pause, "away_kubelet")

    def _do(self, whose: int, pause_ds: int, what: str) -> None:
        node = self.nodes[whose]
        if node.pass_s(pause_ds / 10):
            self.done += bool(getattr(node, what)())

    def teardown(self) -> None:
        if self.done < _FEW:
            return
        life = Life(plan_of(self.nodes, self.seed, SECONDS)).live()
        type(self).lived += 1
        print(f"seed {SEED}: {self.done} things done, {life.windows} windows, {life.slices} slices")  # noqa: T201
        assert life.breaches == [], f"{life.breaches}\n{life.plan}"
        assert life.windows > NODES * SECONDS / life.plan.window_s
        assert life.slices > life.windows


def test_the_laws_hold_in_every_life() -> None:
    Nodes.lived = 0
    run_state_machine_as_test(
        Nodes,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=True,
            # A life takes a minute, and a shorter one that fails would tell no more.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Nodes.lived
