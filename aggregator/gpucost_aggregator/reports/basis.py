"""Who is billed for what: the policies of a report. Each closes to the same total."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from gpucost.apportion import apportion
from gpucost.trouble import Reject

from gpucost_aggregator.store.rows import Sums

HINT = "take measured, reserved, blend, or blend with a weight such as blend:0.7"

DEFAULT_BLEND = Fraction(7, 10)
"""The part of what was reserved in a blend: what many finance teams use."""

_WEIGHT_SIGNS = frozenset("0123456789./")
"""No exponents: nine signs of them are a number of millions of digits, with which every row would be multiplied."""

_MOST_DENOMINATOR = 1_000_000


@dataclass(frozen=True, slots=True)
class Basis:
    """*reserved* is the weight of what was reserved, 0 to 1; the rest is what was charged."""

    name: str
    reserved: Fraction


MEASURED = Basis("measured", Fraction(0))
RESERVED = Basis("reserved", Fraction(1))


@dataclass(frozen=True, slots=True)
class Billed:
    """What a basis bills: nanoseconds of GPU-time, and nano-dollars."""

    ns: int = 0
    nanodollars: int = 0


def parse_basis(text: str) -> Basis:
    """
    The basis of that name.

    Raises:
        Reject: There is none, or its weight is not between 0 and 1.
    """
    if text in (MEASURED.name, RESERVED.name):
        return MEASURED if text == MEASURED.name else RESERVED
    name, _, weight = text.partition(":")
    if name != "blend" or len(weight) > 8:
        raise Reject(f"{text!r} is not a basis")
    if not set(weight) <= _WEIGHT_SIGNS:
        raise Reject(f"{weight!r} is not the weight of a blend")
    try:
        reserved = Fraction(weight) if weight else DEFAULT_BLEND
    except (ValueError, ZeroDivisionError):
        raise Reject(f"{weight!r} is not the weight of a blend") from None
    if not 0 <= reserved <= 1:
        raise Reject(f"the weight of a blend lies between 0 and 1, not at {weight}")
    if reserved.denominator > _MOST_DENOMINATOR:
        raise Reject(f"the weight of a blend has at most six decimals, not as many as {weight}")
    return Basis(f"blend:{_spelt(reserved)}", reserved)


def _spelt(weight: Fraction) -> str:
    """As decimals where they are exact, as a fraction elsewhere; read again it is the same weight."""
    decimals = f"{float(weight):.6f}".rstrip("0").rstrip(".")
    return decimals if Fraction(decimals) == weight else str(weight)


def bill(basis: Basis, lines: Sequence[Sums]) -> list[Billed]:
    """
    What *basis* bills each of *lines*, rounded by largest remainder over all of them.

    Over everything that a GPU was, reserved and charged are the same, so each basis has the same total.
    """
    times = _blend(basis.reserved, [line.reserved_ns for line in lines], [line.charged_ns for line in lines])
    costs = _blend(
        basis.reserved,
        [line.cost_reserved_nanodollars for line in lines],
        [line.cost_nanodollars for line in lines],
    )
    return [Billed(ns, nanodollars) for ns, nanodollars in zip(times, costs, strict=True)]


def _blend(weight: Fraction, reserved: Sequence[int], charged: Sequence[int]) -> list[int]:
    if weight in (0, 1):
        return list(reserved if weight else charged)
    exact = [weight * held + (1 - weight) * paid for held, paid in zip(reserved, charged, strict=True)]
    return apportion(int(sum(exact)), exact)
