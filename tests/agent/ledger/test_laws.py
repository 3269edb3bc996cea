"""Laws 1 to 5 on random windows, each computed once more by code that knows none of the ledger's."""

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proofs import law_checks
from proofs.laws import otherwise_listed
from proofs.random_windows import Piece, Window, draw_hour, draw_window
from proofs.under_test import Ledger

LEDGER = Ledger()
RANDOMS = st.randoms(use_true_random=False)
MANY = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


def pieces_of(window: Window) -> list[Piece]:
    return [piece for piece in law_checks.pieces(window) if law_checks.is_possible(piece)]


def is_possible(window: Window) -> bool:
    return all(law_checks.is_possible(piece) for piece in law_checks.pieces(window))


@MANY
@given(RANDOMS)
def test_a_window_keeps_every_law(random: Random) -> None:
    window = draw_window(random)
    if is_possible(window):
        assert list(law_checks.window_breaches(window, LEDGER.rows(window))) == []


@MANY
@given(RANDOMS)
def test_everybody_pays_what_the_formulas_say(random: Random) -> None:
    for piece in pieces_of(draw_window(random)):
        assert list(law_checks.stretch_breaches(piece, LEDGER.paid(piece))) == []


@settings(MANY, max_examples=25)
@given(RANDOMS)
def test_the_windows_of_an_hour_cost_the_hour(random: Random) -> None:
    hour = draw_hour(random)
    if all(is_possible(window) for window in hour):
        rows = [row for window in hour for row in LEDGER.rows(window)]
        assert list(law_checks.hour_breaches(hour, rows)) == []


@MANY
@given(RANDOMS)
def test_the_order_in_which_holders_are_named_moves_nothing(random: Random) -> None:
    window = draw_window(random)
    if is_possible(window):
        assert LEDGER.rows(otherwise_listed(window)) == LEDGER.rows(window)
