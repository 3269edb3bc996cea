"""
The ledger's laws, computed once more from what went in.

Imports none of the code under test, so that a fault in it can not hide in here too.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from proofs.random_windows import HOUR, Cut, Instance, Piece, Window

WHOLE = ("", "", "", "")
REMAINDER = ("", "", "remainder", "")
KINDS = ("host", "unallocated", "unattributed", "unobserved")


@dataclass(frozen=True)
class Row:
    """A slice as text and integers. A device is gi, ci, profile and placement; a holder is its name."""

    device: tuple[str, str, str, str]
    holder: str
    start: int
    reserved: int
    used: int
    idle: int
    unmeasured: int
    cost: int
    cost_reserved: int
    flags: tuple[str, ...]

    @property
    def charged(self) -> int:
        return self.used + self.idle + self.unmeasured


@dataclass(frozen=True)
class Paid:
    """What one holder pays of one stretch, in wall nanoseconds."""

    holder: str
    reserved: int
    used: int
    idle: int
    unmeasured: int

    @property
    def charged(self) -> int:
        return self.used + self.idle + self.unmeasured


def divide(total: int, weights: Sequence[int | Fraction]) -> list[int]:
    """By largest remainder: one unit at a time to whoever is furthest below its fair share."""
    whole = sum(weights)
    if not whole:
        return [0 for _ in weights]
    fair = [Fraction(total) * weight / whole for weight in weights]
    parts = [int(share) for share in fair]
    while sum(parts) < total:
        behind = [share - part for share, part in zip(fair, parts, strict=True)]
        parts[behind.index(max(behind))] += 1
    return parts


def order(holder: str) -> tuple[int, bytes]:
    """Containers by name, then the others as the ledger lists them, unobserved by reason."""
    kind, _, reason = holder.partition(":")
    return (KINDS.index(kind) + 1, reason.encode()) if kind in KINDS else (0, holder.encode())


def devices(cut: Cut) -> Iterator[tuple[tuple[str, str, str, str], int]]:
    """Law 1: every device of a layout, and the GPU-time that is its part."""
    if not cut.instances:
        yield WHOLE, cut.length
        return
    instances = sorted(cut.instances, key=lambda instance: instance.gi)
    weights = [_weight(instance, cut) for instance in instances]
    rest = max(Fraction(0), 1 - sum(weights))
    *times, rest_time = divide(cut.length, [*weights, rest])
    for instance, time in zip(instances, times, strict=True):
        parts = sorted(instance.parts, key=lambda part: part.ci)
        taken = [part.compute for part in parts]
        *part_times, left = divide(time, [*taken, instance.compute - sum(taken)])
        names = (str(instance.gi), instance.profile, str(instance.placement))
        for part, part_time in zip(parts, part_times, strict=True):
            yield (names[0], str(part.ci), *names[1:]), part_time
        yield (names[0], "", *names[1:]), left
    yield REMAINDER, rest_time


def settled(piece: Piece) -> list[Paid]:
    """Who pays for a stretch, by the formulas of the ledger."""
    length, claims = piece.length, dict(piece.reserved)
    if sum(claims.values()) > length:
        names = sorted(claims, key=order)
        claims = dict(zip(names, divide(length, [claims[name] for name in names]), strict=True))
    use = {
        name: min(claims.get(name, 0), used * piece.limits[name][0] // piece.limits[name][1])
        if name in piece.limits
        else used
        for name, used in piece.used.items()
    }
    free = length - sum(claims.values())
    names = sorted({*claims, *use, piece.free}, key=order)
    idle_in_all = length - sum(use.values())
    claimed = [
        free if name == piece.free else max(0, claims.get(name, 0) - use.get(name, 0)) for name in names
    ]
    paid = []
    for name, part in zip(names, divide(idle_in_all, claimed), strict=True):
        idle, unmeasured = divide(part, [piece.watched - sum(use.values()), length - piece.watched])
        reserved = free if name == piece.free else claims.get(name, 0)
        paid.append(Paid(name, reserved, use.get(name, 0), idle, unmeasured))
    return paid


def is_possible(piece: Piece) -> bool:
    """Whether a GPU can have done this: more than the watched time can not be seen to be used."""
    return sum(paid.used for paid in settled(piece)) <= piece.watched <= piece.length


def pieces(window: Window) -> Iterator[Piece]:
    """Every stretch of a window."""
    for cut in window.cuts:
        yield from cut.pieces
        for instance in cut.instances:
            for part in instance.parts:
                yield from part.pieces


def cost_of(window: Window) -> int:
    """Law 3: what a window costs by its price and its place in the hour."""
    measured = sum(cut.length for cut in window.cuts)
    begin, end = window.begin % HOUR, window.begin % HOUR + window.end - window.begin
    if measured != window.end - window.begin:
        begin, end = 0, measured
    price = window.price or 0
    return price * end // HOUR - price * begin // HOUR


def window_breaches(window: Window, rows: Sequence[Row]) -> Iterator[str]:
    """Laws 1, 2, 3 and 5, and what law 4 says of single slices."""
    expected: Counter[tuple[str, str, str, str]] = Counter()
    for cut in window.cuts:
        expected.update(dict(devices(cut)))
    charged, reserved = _sums(rows, "charged"), _sums(rows, "reserved")
    for device in {*expected, *charged, *reserved}:
        if not expected[device] == charged[device] == reserved[device]:
            yield f"law 1: {device} has {expected[device]}, charged {charged[device]}, reserved {reserved[device]}"
    measured = sum(cut.length for cut in window.cuts)
    if measured != sum(row.charged for row in rows):
        yield f"law 2: {measured} ns lived and {sum(row.charged for row in rows)} ns charged"
    cost = cost_of(window)
    if (cost, cost) != (sum(row.cost for row in rows), sum(row.cost_reserved for row in rows)):
        yield f"law 3: {cost} nano-dollars, charged {sum(row.cost for row in rows)}"
    slack = _rounding(window)
    for row in rows:
        amounts = (row.reserved, row.used, row.idle, row.unmeasured, row.cost, row.cost_reserved)
        most = row.reserved + row.used + slack[row.device]
        if min(amounts) < 0 or row.charged > most or not any(amounts[:4]):
            yield f"law 4: {row}"
        if row.start != window.start:
            yield f"law 5: {row} is of another window"
    for key, count in Counter((row.device, row.holder) for row in rows).items():
        if count > 1:
            yield f"law 5: {key} stands {count} times"


def stretch_breaches(piece: Piece, found: Sequence[Paid]) -> Iterator[str]:
    """Law 4 in wall nanoseconds, and that everybody pays what the formulas say."""
    if sum(paid.charged for paid in found) != piece.length:
        yield f"law 1: a stretch of {piece.length} ns, charged {sum(paid.charged for paid in found)}"
    for paid in found:
        if not 0 <= paid.used <= paid.charged <= max(paid.reserved, paid.used):
            yield f"law 4: {paid}"
    if [_plain(paid) for paid in settled(piece)] != [_plain(paid) for paid in found]:
        yield f"who pays: {settled(piece)} expected, {list(found)} found"


def hour_breaches(windows: Sequence[Window], rows: Iterable[Row]) -> Iterator[str]:
    """Law 3: the windows of an hour cost the hour."""
    cost, price = sum(row.cost for row in rows), windows[0].price or 0
    if cost != price:
        yield f"law 3: an hour at {price} nano-dollars cost {cost}"


def _weight(instance: Instance, cut: Cut) -> Fraction:
    compute = Fraction(instance.compute, cut.compute_total)
    return max(compute, Fraction(instance.memory, cut.memory_total))


def _rounding(window: Window) -> Counter[tuple[str, str, str, str]]:
    """
    By how many nanoseconds a slice of an instance may pass its bound.

    Charged and reserved time of an instance's stretch are scaled apart from each other, and rounded twice.
    """
    slack: Counter[tuple[str, str, str, str]] = Counter()
    for cut in window.cuts:
        for instance in cut.instances:
            names = (str(instance.gi), instance.profile, str(instance.placement))
            for part in instance.parts:
                slack[names[0], str(part.ci), *names[1:]] += 2 * len(part.pieces)
    return slack


def _sums(rows: Iterable[Row], what: str) -> Mapping[tuple[str, str, str, str], int]:
    sums: defaultdict[tuple[str, str, str, str], int] = defaultdict(int)
    for row in rows:
        sums[row.device] += getattr(row, what)
    return sums


def _plain(paid: Paid) -> tuple[str, int, int, int, int]:
    return (paid.holder, paid.reserved, paid.used, paid.idle, paid.unmeasured)
