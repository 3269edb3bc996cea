"""Which part of its hour a window of one GPU is, by which it is priced."""

from gpucost.window import Interval, hour_offset_ns


def hour_offsets(life: Interval, length_ns: int) -> tuple[int, int]:
    """
    Where a window, cut by the GPU's life, lies in its UTC hour.

    After a step of the clock the measured *length_ns* is not the wall's; then only the length counts.
    """
    if length_ns != life.length_ns:
        return 0, length_ns
    start = hour_offset_ns(life.start_ns)
    return start, start + length_ns
