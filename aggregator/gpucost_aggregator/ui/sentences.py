"""Words that several pages share."""

from gpucost import format as fmt

from gpucost_aggregator.reports.five_parts import Shares
from gpucost_aggregator.store.rows import QuarantineTotals
from gpucost_aggregator.ui.figures import Scale
from gpucost_aggregator.ui.surroundings import Surroundings

_LENGTHS = {"m": "minute", "h": "hour", "d": "day"}


def over_time(around: Surroundings, first_ns: int | None) -> str:
    """The time of a sentence: ``in 7 days``, or since when there are books, if that is later."""
    answered = around.period.answered
    if first_ns is not None and first_ns - answered.start_ns >= around.known.step_ns:
        return f"since {fmt.instant(first_ns, around.zone)}".replace(" ", "\u00a0")
    text = around.period.text
    if text == "today":
        return "today"
    if text[-1:] in _LENGTHS and text[:-1].isdigit():
        return f"in {fmt.count(int(text[:-1]), _LENGTHS[text[-1]])}"
    return "in this time"


def spend_sentence(shares: Shares, scale: Scale, when: str) -> str:
    """The answer of the first page: what was spent, and how much of that was no work."""
    five = scale.main(shares)
    if not five.total:
        return f"Nothing was spent {when}."
    parts = [
        (five.idle, "was held but idle"),
        (five.unallocated, "was held by nobody"),
        (five.unobserved, "was watched by nobody"),
    ]
    said = [f"{fmt.percent(part, five.total)} {words}" for part, words in parts if part]
    if not said:
        return f"{scale.sentence(five.total)} {when}, and all of it was used."
    first, *others = said
    first = first.replace(" was", " of it was", 1)
    return f"{scale.sentence(five.total)} {when}. {', '.join([first, *others])}."


def quarantine_words(held: QuarantineTotals) -> tuple[str, ...]:
    """What is set aside and stands in no number of the page."""
    if not held.slices:
        return ()
    hours = fmt.gpu_hours(held.charged_ns, fmt.hours_decimals(held.charged_ns))
    cost = fmt.money_sentence(held.cost_nanodollars)
    return (f"Quarantined beside this: {fmt.count(held.slices, 'slice')}, {hours} GPU-hours, {cost}.",)


FIRST_COMMAND = "gpucost-agent run --cluster NAME --node NODE --aggregator HOST:9443"
"""What starts an agent on a node of GPUs."""


def empty_words(around: Surroundings) -> tuple[str, str]:
    """A title and what to make of it, where a page has no rows."""
    if not around.has_data:
        return (
            "No agent has reported yet",
            "Agents report one window after they start. This page fills by itself.",
        )
    answered = around.period.answered
    if answered.length_ns <= 0:
        return "No window of this time is complete yet", "Choose a longer range, or wait for the next window."
    when = fmt.interval(answered.start_ns, answered.end_ns, around.zone)
    picked = [*around.picked_clusters, *around.picked_namespaces]
    if picked:
        return (
            "Nothing held a GPU here",
            f"{when}, {fmt.names(picked)}. Take the filter away to see the others.",
        )
    return "No GPU was held in this time", f"{when}. What was free or unobserved stands in the bar above."
