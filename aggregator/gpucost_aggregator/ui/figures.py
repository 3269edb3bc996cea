"""Numbers of a page as texts: one scope is rounded once, one column has one precision."""

from collections.abc import Sequence
from dataclasses import dataclass

from gpucost import format as fmt

from gpucost_aggregator.reports.five_parts import Five, Shares
from gpucost_aggregator.reports.line import Line
from gpucost_aggregator.store.rows import Sums

PARTS = (
    ("used", "Used"),
    ("unknown", "Use unknown"),
    ("idle", "Allocated idle"),
    ("free", "Unallocated"),
    ("unobs", "Unobserved"),
)
"""The five parts, in their order, with the names of their colours."""

CHARGED_PARTS = 3


@dataclass(frozen=True, slots=True)
class Scale:
    """
    The precision of everything in one range, and whether it is shown in money at all.

    A fleet without a single price is shown in GPU-hours; nothing is guessed.
    """

    in_money: bool
    money_decimals: int
    hours_decimals: int

    @property
    def unit(self) -> str:
        """The unit of main numbers, for a heading."""
        return "USD" if self.in_money else "GPU-hours"

    def money(self, nanodollars: int) -> str:
        """An amount of a column."""
        return fmt.money(nanodollars, self.money_decimals)

    def hours(self, ns: int) -> str:
        """GPU-time of a column."""
        return fmt.gpu_hours(ns, self.hours_decimals)

    def main(self, shares: Shares) -> Five:
        """The measure that bars are drawn in."""
        return shares.money if self.in_money else shares.time

    def measure(self, sums: Sums) -> int:
        """What *sums* cost, or how long they are where there is no money."""
        return sums.cost_nanodollars if self.in_money else sums.charged_ns

    def amount(self, sums: Sums) -> str:
        """The same as a text of a column."""
        return self.money(self.measure(sums)) if self.in_money else self.hours(self.measure(sums))

    def amount_or_word(self, sums: Sums) -> str:
        """The same; ``unpriced`` where none of it has a price, for that is no amount of money."""
        if self.in_money and sums.charged_ns and sums.unpriced_ns == sums.charged_ns:
            return fmt.price(None)
        return self.amount(sums)

    def parts(self, five: Sequence[int]) -> list[str]:
        """The parts of a scope as texts that add up."""
        if self.in_money:
            return fmt.money_parts(five, self.money_decimals)
        return [self.hours(part) for part in five]

    def charged_parts(self, five: Sequence[int], charged: Sequence[int]) -> list[str]:
        """Those who are *charged* the first three parts of *five*, as texts that add up to the brace of its bar."""
        if not self.in_money:
            return [self.hours(part) for part in charged]
        units = fmt.money_units(five, self.money_decimals)[:CHARGED_PARTS]
        return fmt.money_shares(sum(units), charged, self.money_decimals)

    def sentence(self, amount: int) -> str:
        """The main number of a sentence."""
        return fmt.money_sentence(amount) if self.in_money else f"{self.hours(amount)} GPU-hours"


def scale_of(shares: Shares) -> Scale:
    """The scale of a range whose total *shares* are."""
    money, time = shares.money.total, shares.time.total
    return Scale(bool(money) or not time, fmt.money_decimals(money), fmt.hours_decimals(time))


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar: its colour's name, what it is called, its text, its share in words, and its width."""

    kind: str
    name: str
    amount: str
    share: str
    flex: str


@dataclass(frozen=True, slots=True)
class LedgerBar:
    """The signature: all parts of one scope, and the brace over those that somebody pays."""

    parts: tuple[Part, ...]
    charged: str
    charged_flex: str
    nobodys: str
    nobodys_flex: str
    spoken: str


def ledger_bar(five: Five, scale: Scale, *, of_some: bool = False) -> LedgerBar:
    """
    The bar of *five*; parts that are nothing keep their place in the key, and none in the strip.

    *of_some*: only some namespaces are looked at, so that what belongs to none is left out, not nothing.
    """
    texts = scale.parts(five)
    parts = tuple(
        Part(kind, name, text, fmt.percent(amount, five.total), _flex(amount, five.total))
        for (kind, name), text, amount in zip(PARTS, texts, five, strict=True)
    )[: CHARGED_PARTS if of_some else None]
    charged, nobodys = _braces(five, scale)
    return LedgerBar(
        parts=parts,
        charged=charged,
        charged_flex=_flex(five.charged, five.total),
        nobodys=nobodys,
        nobodys_flex=_flex(five.nobodys, five.total),
        spoken="; ".join(f"{part.name} {part.amount}, {part.share}" for part in parts),
    )


def _braces(five: Five, scale: Scale) -> tuple[str, str]:
    """What somebody pays and what nobody pays: sums of the parts as they are shown."""
    if not scale.in_money:
        return scale.hours(five.charged), scale.hours(five.nobodys)
    units = fmt.money_units(five, scale.money_decimals)
    sums = sum(units[:CHARGED_PARTS]), sum(units[CHARGED_PARTS:])
    charged, nobodys = (fmt.money_of_units(amount, scale.money_decimals) for amount in sums)
    return charged, nobodys


@dataclass(frozen=True, slots=True)
class MiniBar:
    """A bar of a table's row: as long as its part of the longest."""

    parts: tuple[Part, ...]
    width: str
    spoken: str


def mini_bar(five: Five, longest: int) -> MiniBar:
    """The bar of *five*, beside others of which the longest is *longest*."""
    total = five.total
    parts = tuple(
        Part(kind, name, "", fmt.percent(amount, total), _flex(amount, total))
        for (kind, name), amount in zip(PARTS, five, strict=True)
        if amount
    )
    width = f"{max(100 * total / longest, 0.5):.1f}%" if longest and total else "0"
    return MiniBar(parts, width, ", ".join(f"{part.name} {part.share}" for part in parts) or "nothing")


def line_five(line: Line, scale: Scale, *, kind: str = "") -> Five:
    """The parts of one line; *kind* is ``free`` or ``unobs`` where nobody pays it."""
    sums = line.sums
    if kind == "free":
        return Five(unallocated=sums.cost_nanodollars if scale.in_money else sums.charged_ns)
    if kind == "unobs":
        return Five(unobserved=sums.cost_nanodollars if scale.in_money else sums.charged_ns)
    if scale.in_money:
        return Five(sums.cost_used_nanodollars, sums.cost_unmeasured_nanodollars, sums.cost_idle_nanodollars)
    return Five(sums.used_ns, sums.unmeasured_ns, sums.idle_ns)


def used_of_charged(sums: Sums) -> str:
    """How much of what was charged was used, in time; with a plus where some use is unknown."""
    if sums.charged_ns and sums.unmeasured_ns == sums.charged_ns:
        return "unknown"
    return fmt.percent(sums.used_ns, sums.charged_ns, at_least=sums.unmeasured_ns > 0)


def flags(line: Line) -> tuple[tuple[str, str], ...]:
    """What must be said beside an amount: a short word, and the same in full."""
    found = []
    if 0 < line.sums.unpriced_ns < line.sums.charged_ns:
        hours = fmt.gpu_hours(line.sums.unpriced_ns, fmt.hours_decimals(line.sums.unpriced_ns))
        found.append(("partly unpriced", f"{hours} GPU-hours of it have no price and cost nothing here"))
    if line.is_estimate:
        found.append(("list price", "A catalogue's price is in it: an estimate"))
    if line.is_stale:
        oldest = min(price.date for price in line.group.prices if price.is_stale(line.at_ns))
        found.append((f"price of {fmt.calendar_day(oldest)}", "A price in it is older than 180 days"))
    return tuple(found)


def _flex(part: int, whole: int) -> str:
    return f"{1000 * part / whole:.2f}" if whole else "0"
