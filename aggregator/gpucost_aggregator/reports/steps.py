"""Into which steps a stretch of time is cut to be drawn."""

from gpucost.units import NS_PER_DAY, NS_PER_HOUR, NS_PER_SECOND
from gpucost.window import Interval

MOST_STEPS = 50
"""A bar stays 9 px or wider, and the store is asked once a bar."""

STEPS_NS = (
    *(seconds * NS_PER_SECOND for seconds in (10, 30, 60, 300, 600, 900, 1_800)),
    *(hours * NS_PER_HOUR for hours in (1, 2, 4, 6, 12)),
    *(days * NS_PER_DAY for days in (1, 2, 7)),
)
"""Steps that people count in, in UTC."""


def steps(stretch: Interval, window_ns: int) -> list[Interval]:
    """*stretch* in at most ``MOST_STEPS`` pieces on round times; the first and last may be shorter."""
    if stretch.length_ns <= 0:
        return []
    fitting = (
        step for step in STEPS_NS if step % window_ns == 0 and stretch.length_ns // step + 2 <= MOST_STEPS
    )
    step = next(fitting, 0) or _coarser(stretch, window_ns)
    cuts = range(stretch.start_ns - stretch.start_ns % step, stretch.end_ns, step)
    pieces = (Interval(start, start + step).cut(stretch) for start in cuts)
    return [piece for piece in pieces if piece]


def _coarser(stretch: Interval, window_ns: int) -> int:
    days = -(-stretch.length_ns // ((MOST_STEPS - 2) * NS_PER_DAY))
    return max(window_ns, days * NS_PER_DAY)
