"""The clock is set, and agents are killed, asked to end and started again, in any order: what really was is charged."""

from itertools import pairwise

import pytest
from gpucost.clock import Instant
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts.books_by_hand import LONG_AGO, ONE, SECOND, START, a_look, an_answer, new_books
from gpucost_agent.ledger.books import Books, ClosedWindow
from gpucost_agent.ledger.checkpoint import Checkpoint
from gpucost_agent.ledger.laws import window_breaches

END_S = 400
STEPS = (-300, -40, -7, -1, 1, 7, 90, 86_400)


class Life:
    """A node of which every second is lived: its clock is set, its agents come and go."""

    def __init__(self) -> None:
        self.closed: list[ClosedWindow] = []
        self.left = ""
        self._second = self._ahead = 0
        self._books: Books | None = None

    @property
    def _now(self) -> Instant:
        return Instant(
            START + (self._second + self._ahead) * SECOND, START - LONG_AGO + self._second * SECOND
        )

    def begin(self) -> None:
        before = Checkpoint.from_json(self.left) if self.left else None
        self._books = new_books(look_ns=self._now.wall_ns, before=before)
        self._books.tick(self._now)
        if not self.left:
            self.left = self._books.checkpoint().to_json()

    def live(self) -> None:
        self._second += 1
        if self._books is None:
            return
        self._books.tick(self._now)
        self._books.read_holders(an_answer(self._now.wall_ns, {ONE: ["a"]}))
        self._books.read_gpu(a_look(self._now.wall_ns, ONE, [(self._now.wall_ns, 100)]), {})
        while (window := self._books.close_next(self._now.wall_ns)) is not None:
            self._keep(window)

    def step(self, seconds: int) -> None:
        self._ahead += seconds

    def end(self, well: bool) -> None:
        if self._books is not None and well:
            self._books.tick(self._now)
            for window in self._books.close_short(self._now.wall_ns):
                self._keep(window)
        self._books = None

    def _keep(self, window: ClosedWindow) -> None:
        self.closed.append(window)
        self.left = window.checkpoint.to_json()
        assert list(window_breaches(window.slices, window.lives, window.lengths_ns)) == []


def lived(steps: dict[int, int], ends: dict[int, tuple[bool, int]]) -> list[ClosedWindow]:
    """*steps* by seconds; *ends* are whether an agent ends well, and for how long none is there."""
    life, back_s = Life(), 0
    life.begin()
    for second in range(END_S):
        if second in steps:
            life.step(steps[second])
        if second in ends and second >= back_s:
            well, away_s = ends[second]
            life.end(well)
            back_s = second + away_s
        if second == back_s and second:
            life.begin()
        life.live()
    # The wall passes whatever was closed, so that the open window can be.
    behind_s = -min(0, sum(steps.values())) + max(0, *steps.values(), 0)
    for _ in range(behind_s if behind_s < 2_000 else 0):
        life.live()
    if behind_s >= 2_000:
        life.step(2 * behind_s)
        life.live()
    life.end(well=True)
    return life.closed


def charged_s(closed: list[ClosedWindow]) -> float:
    return sum(row.time.charged_ns for window in closed for row in window.slices) / SECOND


@pytest.mark.parametrize("well", [True, False])
@pytest.mark.parametrize("step", STEPS)
def test_a_step_just_before_an_agent_ends(step: int, well: bool) -> None:
    closed = lived({100: step}, {102: (well, 3)})
    assert charged_s(closed) >= END_S
    assert charged_s(closed) == lasted_s({100: step})


@pytest.mark.parametrize("well", [True, False])
@pytest.mark.parametrize("step", STEPS)
def test_a_step_while_no_agent_is_there(step: int, well: bool) -> None:
    assert charged_s(lived({101: step}, {100: (well, 3)})) == lasted_s({101: step})


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.integers(1, END_S - 50), st.sampled_from(STEPS), max_size=5),
    st.dictionaries(st.integers(1, END_S - 50), st.tuples(st.booleans(), st.integers(1, 40)), max_size=4),
)
@example(
    {1: 86_400, 32: -300}, {1: (False, 30), 40: (True, 1)}
)  # set back into time that never was, and closed there
def test_however_both_fall_the_time_that_was_is_charged(
    steps: dict[int, int], ends: dict[int, tuple[bool, int]]
) -> None:
    closed = lived(steps, ends)
    assert charged_s(closed) == lasted_s(steps)
    for before, after in pairwise(closed):
        assert before.interval.end_ns == after.interval.start_ns


def lasted_s(steps: dict[int, int]) -> int:
    behind_s = -min(0, sum(steps.values())) + max(0, *steps.values(), 0)
    return END_S + (behind_s if behind_s < 2_000 else 1)
