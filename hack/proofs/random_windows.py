"""
Random windows of one GPU, as plain values: what was cut, watched, reserved and used.

Knows nothing of the code under test. Holders are names: containers by any name, the others by their kinds.
"""

from dataclasses import dataclass
from itertools import pairwise
from random import Random

SECOND = 1_000_000_000
HOUR = 3_600 * SECOND
CONTAINERS = ("a", "b", "ba", "c", "z9", "z10")
OTHERS = ("host", "unattributed")
FREE = ("unallocated", "unallocated", "unobserved:agent_gap", "unobserved:unmapped")
PRICES = (None, 0, 1, 59, 3_599_999_999_999, 2_500_000_000, 98_320_000_007, 10**18 + 9, 2**70 + 1)
WINDOW_SECONDS = (10, 30, 60, 60, 60, 600, 3600)
TOTALS = ((7, 8), (4, 4), (7, 7), (8, 8))
"""Compute and memory slices of a GPU; an A30 has four."""


@dataclass(frozen=True)
class Piece:
    """A stretch of a device, in wall nanoseconds."""

    length: int
    watched: int
    reserved: dict[str, int]
    used: dict[str, int]
    limits: dict[str, tuple[int, int]]
    free: str


@dataclass(frozen=True)
class Part:
    ci: int
    compute: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Instance:
    gi: int
    profile: str
    placement: int
    compute: int
    memory: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Cut:
    """A layout: a whole GPU has pieces, a partitioned one instances."""

    length: int
    pieces: tuple[Piece, ...] = ()
    instances: tuple[Instance, ...] = ()
    compute_total: int = 0
    memory_total: int = 0


@dataclass(frozen=True)
class Window:
    """From *begin* to *end* by the wall clock; its cuts were measured, and differ after a step of it."""

    start: int
    begin: int
    end: int
    cuts: tuple[Cut, ...]
    price: int | None


def draw_window(random: Random) -> Window:
    """A window of any layout, whole or cut by the GPU's life, with or without a step of the clock."""
    length = random.choice(WINDOW_SECONDS) * SECOND
    start = 490_000 * HOUR + random.randrange(HOUR // length) * length
    begin, end = start, start + length
    if random.random() < 0.3:
        begin, end = sorted(random.sample(range(start, start + length + 1), 2))
    if random.random() < 0.1:
        end = begin + random.randrange(1, 30)
    measured = end - begin
    if random.random() < 0.15:
        measured = random.randrange(1, 2 * length)
    return Window(start, begin, end, draw_cuts(random, measured), random.choice(PRICES))


def draw_hour(random: Random) -> list[Window]:
    """The windows of one hour at one price, each with a content of its own."""
    length = random.choice((60, 120, 600)) * SECOND
    first, price = 490_001 * HOUR, random.choice(PRICES)
    return [
        Window(start, start, start + length, draw_cuts(random, length), price)
        for start in range(first, first + HOUR, length)
    ]


def draw_cuts(random: Random, length: int) -> tuple[Cut, ...]:
    """Layouts that follow each other, together *length*."""
    return tuple(_cut(random, part) for part in _split(random, length, random.choice((1, 1, 1, 2, 3))))


def _cut(random: Random, length: int) -> Cut:
    if random.random() < 0.6:
        return Cut(length, _pieces(random, length))
    compute_total, memory_total = random.choice(TOTALS)
    ids = random.sample(range(1, 15), random.randrange(1, 8))
    instances = tuple(_instance(random, length, gi, (compute_total, memory_total)) for gi in ids)
    return Cut(length, (), instances, compute_total, memory_total)


def _instance(random: Random, length: int, gi: int, totals: tuple[int, int]) -> Instance:
    compute, memory = random.randrange(1, totals[0] + 1), random.randrange(1, totals[1] + 1)
    parts, left = [], compute
    for ci in random.sample(range(8), random.randrange(0, 4)):
        taken = random.randrange(0, left + 1)
        if taken:
            parts.append(Part(ci, taken, _pieces(random, length)))
            left -= taken
    return Instance(gi, f"{compute}g.{5 * memory}gb", random.randrange(8), compute, memory, tuple(parts))


def _pieces(random: Random, length: int) -> tuple[Piece, ...]:
    return tuple(_piece(random, part) for part in _split(random, length, random.choice((1, 1, 2, 4))))


def _piece(random: Random, length: int) -> Piece:
    watched = random.choice((0, length, length, random.randrange(length + 1)))
    names = random.sample(CONTAINERS, random.choice((0, 1, 1, 2, 3, 4)))
    form = random.choice(("whole", "replicas", "any", "any"))
    if form == "whole":  # more than one of these is oversubscribed
        reserved = dict.fromkeys(names, length)
    elif form == "replicas":
        replicas = random.randrange(1, 9)
        reserved = {name: length // replicas * random.randrange(1, 3) for name in names}
    else:
        reserved = {name: random.randrange(length + 1) for name in names}
    users = [*names, *random.sample((*CONTAINERS, *OTHERS), random.choice((0, 0, 1, 2)))]
    used, left = {}, watched
    for user in dict.fromkeys(users):
        used[user] = random.choice((0, left, random.randrange(left + 1), random.randrange(left + 1)))
        left -= used[user]
    limits = {}
    if names and random.random() < 0.15:
        limits = {name: (random.randrange(1, 5), 4) for name in names[:2]}
    return Piece(length, watched, reserved, used, limits, random.choice(FREE))


def _split(random: Random, length: int, parts: int) -> list[int]:
    """*length* in at most *parts* parts, none of them empty."""
    borders = sorted({0, length, *(random.randrange(length + 1) for _ in range(parts - 1))})
    return [later - earlier for earlier, later in pairwise(borders)]
