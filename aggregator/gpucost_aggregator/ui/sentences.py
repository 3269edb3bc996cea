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
        weekday, day, month, clock, zone = fmt.instant(first_ns, around.zone).split(" ")
        # Kept together: a day, and a time with its zone and what follows it; not more, or a phone breaks inside.
        return f"since {weekday} {day}\u00a0{month} {clock}\u00a0{zone}"
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
    if not said and five.unknown:
        share = fmt.percent(five.unknown, five.total)
        return f"{scale.sentence(five.total)} {when}. Nobody knows whether {share} of it was used."
    if not said:
        return f"{scale.sentence(five.total)} {when}, and all of it was used."
    first, *others = said
    first = first.replace(" was", " of it was", 1)
    return f"{scale.sentence(five.total)} {when}. {', '.join([first, *others])}."


def quarantine_words(held: QuarantineTotals) -> tuple[str, ...]:
    """What is set aside and stands in no number of the page."""
    batches = fmt.count(held.batches, "batch", "batches") if held.batches else ""
    if not held.slices:
        return (f"Quarantined beside this: {batches} that can not be read.",) if batches else ()
    hours = fmt.gpu_hours(held.charged_ns, fmt.hours_decimals(held.charged_ns))
    cost = fmt.money_sentence(held.cost_nanodollars)
    more = f"; and {batches} that can not be read" if batches else ""
    return (f"Quarantined beside this: {fmt.count(held.slices, 'slice')}, {hours} GPU-hours, {cost}{more}.",)
