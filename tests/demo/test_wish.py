"""What the demo is asked for, and what a program that does not start leaves behind."""

import os
from pathlib import Path

import pytest

from demo.child import Child, Trouble
from demo.wish import FAULTS, SCENARIOS, WrongWish, read


def test_without_a_word_it_stays_up_with_its_own_scenario_and_prices() -> None:
    wish = read({})
    assert wish.seconds is None
    assert wish.scenario == SCENARIOS / "demo.yaml"
    assert wish.price_book == SCENARIOS / "demo-prices.yaml"
    assert wish.seed > 0


def test_variables() -> None:
    other = SCENARIOS / "other.yaml"
    wish = read({"CI": "1", "SEED": "5", "SCENARIO": str(other), "PRICE_BOOK": ""})
    assert (wish.seconds, wish.seed, wish.scenario, wish.price_book) == (75, 5, other, None)
    assert read({"CI": "1", "SECONDS": "12"}).seconds == 12
    assert read({"FAULTS": ",".join(FAULTS)}).price_book is None
    assert read({"SCENARIO": str(other)}).price_book == other.with_name("other-prices.yaml")


@pytest.mark.parametrize("wrong", [{"SECONDS": "soon"}, {"SCENARIO": "no.yaml"}, {"FAULTS": "fire"}])
def test_a_word_that_can_not_be_read(wrong: dict[str, str]) -> None:
    with pytest.raises(WrongWish, match=next(iter(wrong))):
        read(wrong)


def test_a_program_that_does_not_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    child = Child("broken", ["json.tool", "--no-such-flag"], os.environ, tmp_path)
    child.start()
    with pytest.raises(Trouble, match=r"broken did not get ready \(exit status 2\)[\s\S]*no-such-flag"):
        child.ready()
