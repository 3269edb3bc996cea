"""The ledger's arithmetic: apportioning by largest remainder, who pays for a stretch, what a window costs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

NS_PER_HOUR = 3_600 * 10**9

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Parts:
    """GPU-time of one holder."""

    reserved_ns: int
    used_ns: int
    idle_ns: int
    unmeasured_ns: int

    @property
    def charged_ns(self) -> int:
        """What it pays for."""
        return self.used_ns + self.idle_ns + self.unmeasured_ns


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """*total* over *weights* by largest remainder, ties to the earlier; 0 over nothing is 0."""
    whole = sum(weights)
    if not whole:
        assert not total, "nothing to divide it over"
        return [0] * len(weights)
    parts = [total * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda place: (-(total * weights[place] % whole), place))
    for place in order[: total - sum(parts)]:
        parts[place] += 1
    return parts


def replicas(length_ns: int, count: int, held: Sequence[tuple[Key, int]]) -> dict[Key, int]:
    """What holders of replicas reserve: held ones come first in the order of their holders."""
    parts = apportion(length_ns, [1] * count)
    reserved, first = {}, 0
    for who, many in held:
        reserved[who] = sum(parts[first : first + many])
        first += many
    return reserved


@dataclass(frozen=True, slots=True)
class Stretch:
    """Time in which reservations do not change, and how much of it was watched."""

    length_ns: int
    watched_ns: int


def settle(
    stretch: Stretch, reserved: Mapping[Key, int], used: Mapping[Key, int], free: Key, order: Sequence[Key]
) -> dict[Key, Parts]:
    """
    Who pays for *stretch*. *free* blocks what nobody reserved; *order* is all holders in the ledger's order.

    I = T - sum U; C_i = max(0, R_i - U_i), of what is free all of it; P = I over C; each P_i over idle and unmeasured.
    """
    length_ns, watched_ns = stretch.length_ns, stretch.watched_ns
    blocked = dict(reserved)
    blocked[free] = blocked.get(free, 0) + length_ns - sum(reserved.values())
    unused = length_ns - sum(used.values())
    claims = [
        blocked.get(who, 0) if who == free else max(0, blocked.get(who, 0) - used.get(who, 0))
        for who in order
    ]
    settled = {}
    for who, part in zip(order, apportion(unused, claims), strict=True):
        idle, unmeasured = apportion(part, (watched_ns - sum(used.values()), length_ns - watched_ns))
        settled[who] = Parts(blocked.get(who, 0), used.get(who, 0), idle, unmeasured)
    return settled


def window_cost(nanodollars_per_hour: int, start_ns: int, end_ns: int) -> int:
    """floor(P x b) - floor(P x a), a and b being where the window lies in its UTC hour."""
    begin = start_ns % NS_PER_HOUR
    end = begin + end_ns - start_ns
    return nanodollars_per_hour * end // NS_PER_HOUR - nanodollars_per_hour * begin // NS_PER_HOUR
