"""What a window of one GPU costs."""

from gpucost.units import NS_PER_HOUR
from gpucost.window import Interval, hour_offset_ns


def window_cost(nanodollars_per_hour: int, from_ns: int, to_ns: int) -> int:
    """
    Nano-dollars from offset *from_ns* to *to_ns* of an hour, so that the windows of an hour cost it exactly.
    """
    return nanodollars_per_hour * to_ns // NS_PER_HOUR - nanodollars_per_hour * from_ns // NS_PER_HOUR


def hour_offsets(life: Interval, length_ns: int) -> tuple[int, int]:
    """
    Where a window, cut by the GPU's life, lies in its UTC hour.

    After a step of the clock the measured *length_ns* is not the wall's; then only the length counts.
    """
    if length_ns != life.length_ns:
        return 0, length_ns
    start = hour_offset_ns(life.start_ns)
    return start, start + length_ns
