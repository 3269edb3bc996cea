"""A campaign tries until its time is over, keeps the smallest input that fails, and says what was accepted."""

import itertools

import pytest
from hypothesis import strategies as st

from fuzz.campaign import search
from fuzz.drawing import changed, json_inputs
from fuzz.shapes import see_typed
from fuzz.target import Breach, Target, bytes_of, holds, text_of
from gpucost_agent.readings import ProcessUse, ProcessWindow


def ticking(step: float = 0.001):
    """A clock that moves a step with every look."""
    ticks = itertools.count()
    return lambda: next(ticks) * step


def target(check, inputs: st.SearchStrategy[bytes] | None = None) -> Target:
    return Target("toy", (), inputs if inputs is not None else st.binary(max_size=40), check)


def test_it_ends_when_its_time_is_over_and_counts() -> None:
    outcome = search(target(lambda data: len(data) > 3), 1, 1.0, clock=ticking())
    assert outcome.finding is None
    assert 0 < outcome.accepted < outcome.executions < 1_000


def test_a_finding_is_the_smallest_that_was_met() -> None:
    def check(data: bytes) -> bool:
        holds(b"\xff" not in data, "it holds 255")
        return True

    outcome = search(target(check), 1, 100.0, clock=ticking())
    assert outcome.finding is not None
    assert (outcome.finding.data, outcome.finding.error) == (b"\xff", "Breach: it holds 255")


def test_the_same_seed_tries_the_same() -> None:
    def tried(seed: int) -> str:
        return search(target(lambda _: True), seed, 0.5, clock=ticking()).inputs.hexdigest()

    assert tried(1) == tried(1) != tried(2)


def test_known_inputs_come_first() -> None:
    def check(data: bytes) -> bool:
        holds(data != b"known", "known")
        return True

    outcome = search(target(check, st.just(b"")), 1, 1.0, [b"other", b"known"], clock=ticking())
    assert outcome.finding is not None
    assert (outcome.finding.data, outcome.executions) == (b"known", 2)


def test_inputs_that_can_not_be_drawn_are_a_finding() -> None:
    outcome = search(target(lambda _: True, st.builds(lambda: 1 // 0)), 1, 1.0, clock=ticking())
    assert outcome.finding is not None
    assert "ZeroDivisionError" in outcome.finding.error


@pytest.mark.parametrize("text", ["", "a\u2028", "\ud800", "\0"])
def test_texts_go_both_ways(text: str) -> None:
    assert text_of(bytes_of(text)) == text


def test_bytes_that_are_no_text_are_one() -> None:
    assert text_of(b"a\xff") == "a\ufffd"


@pytest.mark.parametrize(
    "value",
    [
        ProcessWindow(0, 1, 2, (ProcessUse("1", 2),)),
        ProcessWindow(0, 1, True, ()),
        ProcessWindow(0, 1, 2, [ProcessUse(1, 2)]),
        ProcessWindow(None, 1, 2, ()),
    ],
)
def test_a_value_of_another_type_is_seen(value: ProcessWindow) -> None:
    with pytest.raises(Breach):
        see_typed(value)
    see_typed(ProcessWindow(0, 1, 2, (ProcessUse(1, 2),)))


def test_half_a_sample_and_spoiled_documents_come_up() -> None:
    seen: set[str] = set()

    def check(data: bytes) -> bool:
        seen.add("whole" if data == b"abcdef" else "changed")
        return True

    search(target(check, changed([b"abcdef"])), 1, 1.0, clock=ticking())
    search(target(check, json_inputs(st.just({"a": [1, {"b": "c"}]}))), 1, 1.0, clock=ticking())
    assert seen == {"whole", "changed"}
