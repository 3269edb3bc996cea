"""
On which side of a border something was, that was seen across it.

A reading is a mean over its span. Where a holder comes or goes within the span, a mean that is spread evenly would let
it work before it came, and after it went.
"""

from collections.abc import Sequence

from gpucost.window import Interval


def part_in(amount: int, span: Interval, interval: Interval, turns: Sequence[Interval]) -> int:
    """
    How much of *amount*, which was seen over *span*, is of *interval*.

    It was done in turns, as far as it fits there (it is no more than the span is long); the rest at other times.
    """
    part = span.cut(interval)
    if part is None:
        return 0
    if part == span:
        return amount
    in_turns = [each for turn in turns if (each := turn.cut(span)) is not None]
    turns_ns = sum(each.length_ns for each in in_turns)
    others_ns = span.length_ns - turns_ns
    mine_ns = sum(each.length_ns for turn in in_turns if (each := turn.cut(part)) is not None)
    done_in_turns = min(amount, turns_ns) if others_ns else amount
    done = done_in_turns * mine_ns // turns_ns if turns_ns else 0
    if others_ns:
        done += (amount - done_in_turns) * (part.length_ns - mine_ns) // others_ns
    return done


def has_border(span: Interval, turns: Sequence[Interval]) -> bool:
    """Whether a turn begins or ends within *span*; without one a mean over it is spread evenly."""
    in_turns_ns = 0
    for turn in turns:
        # Asked for each sample of a window, so nothing is made of it.
        part_ns = min(turn.end_ns, span.end_ns) - max(turn.start_ns, span.start_ns)
        if part_ns > 0:
            in_turns_ns += part_ns
    return 0 < in_turns_ns < span.length_ns
