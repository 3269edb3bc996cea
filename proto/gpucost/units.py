"""
Base units, and the named ways in and out of them.

Inside, time is an integer of nanoseconds and money an integer of nano-dollars.
Seconds, hours and dollars exist only where people read or write them.
"""

from decimal import Decimal, InvalidOperation

NS_PER_MS = 1_000_000
NS_PER_SECOND = 1_000_000_000
NS_PER_HOUR = 3_600 * NS_PER_SECOND
NS_PER_DAY = 24 * NS_PER_HOUR
NANODOLLARS_PER_USD = 1_000_000_000

POLICY_VERSION = "2026-11"
"""Version of the ledger's rules; it stands in every slice and moves when a rule moves a bill."""


def nanodollars_from_usd(usd: str | int | Decimal) -> int:
    """
    Nano-dollars from a decimal number of dollars, exactly.

    Raises:
        ValueError: Not a number, negative, or finer than a nano-dollar.
    """
    try:
        amount = Decimal(usd) * NANODOLLARS_PER_USD
    except InvalidOperation:
        raise ValueError(f"{usd!r} is not a decimal number of US dollars") from None
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{usd!r} is not an amount of US dollars: give a number of 0 or more")
    if amount != amount.to_integral_value():
        raise ValueError(f"{usd!r} is finer than a nano-dollar: give at most nine decimals")
    return int(amount)


def window_cost(nanodollars_per_hour: int, from_ns: int, to_ns: int) -> int:
    """Nano-dollars from offset *from_ns* to *to_ns* of an hour, so that the windows of an hour cost it exactly."""
    return nanodollars_per_hour * to_ns // NS_PER_HOUR - nanodollars_per_hour * from_ns // NS_PER_HOUR


def usd_from_nanodollars(nanodollars: int) -> float:
    """Dollars for people; never added up."""
    return nanodollars / NANODOLLARS_PER_USD


def hours_from_ns(ns: int) -> float:
    """Hours for people; never added up."""
    return ns / NS_PER_HOUR
