"""What nobody holds, in words: the sentence of the page and its table say the same of the same devices."""

from collections import defaultdict
from collections.abc import Iterable

from gpucost_aggregator.reports.holding import Holding
from gpucost_aggregator.reports.idle import Idle, Now
from gpucost_aggregator.ui.devices import count_devices
from gpucost_aggregator.ui.sight import NOW_IN_USE, NOW_TAKEN, Sight
from gpucost_aggregator.ui.sight import Now as SeenNow

FREE_NOW = "Free now"
FREE_IN_PART = "Free in part"
"""A container holds the others of its shares, or held it earlier in the same window."""

IN_USE = NOW_IN_USE
"""Nobody holds it, and somebody uses it all the same: not to be given away as if nobody worked there."""

TAKEN = NOW_TAKEN
"""Free in the latest complete window, and given to somebody since."""

USE_UNKNOWN = "Use unknown"
NO_INSTANCE = "No instance"
"""The state of a rest in MIG mode: it is paid for, and nothing can run there until the GPU is cut otherwise."""

WAS_FREE = "Was free"

FREE_NOW_FIRST = (FREE_NOW, FREE_IN_PART, IN_USE, TAKEN, USE_UNKNOWN, NO_INSTANCE, WAS_FREE)
"""The order of the table: a page shows some rows only, and what can be had now is asked for first."""

MARKS = {IN_USE: "part", TAKEN: "part", USE_UNKNOWN: "unknown"}
"""Shapes beside a name, where it is not that of what is free."""

_STATES = {Now.IDLE: FREE_NOW, Now.SHADOW: IN_USE, Now.UNKNOWN: USE_UNKNOWN}
_SAID = (
    (FREE_NOW, "is free", "are free"),
    (FREE_IN_PART, "is free in part", "are free in part"),
    (IN_USE, "is used without being given", "are used without being given"),
    (TAKEN, "was given away a moment ago", "were given away a moment ago"),
    (USE_UNKNOWN, "is held by nobody, its use unknown", "are held by nobody, their use unknown"),
)


def state_of_free(subject: Idle) -> str:
    """What a device that nobody holds, or held, is in the latest complete window."""
    if not subject.holding.can_be_held:
        return NO_INSTANCE
    state = _STATES.get(subject.latest, WAS_FREE)
    return FREE_IN_PART if state == FREE_NOW and subject.in_part else state


def state_seen(subject: Idle, seen: Sight) -> str:
    """The same, unless somebody has used it or been given it since then: what is free in part has holders anyway."""
    state, now = state_of_free(subject), seen.of(subject.holding)
    if state != FREE_NOW or now is None:
        return state
    return TAKEN if now is SeenNow.TAKEN else IN_USE


def free_words(subjects: Iterable[Idle], seen: Sight) -> str:
    """The end of a sentence that counts what nobody holds among *subjects*, each state apart."""
    many: dict[str, list[Holding]] = defaultdict(list)
    for subject in subjects:
        if not subject.holding.is_held:
            many[state_seen(subject, seen)].append(subject.holding)
    said = [
        f"{count_devices(many[state])} {one if len(many[state]) == 1 else several}"
        for state, one, several in _SAID
        if state in many
    ]
    if not {FREE_NOW, FREE_IN_PART} & many.keys():
        said.insert(0, "none is free")
    return "".join(f"; {words}" for words in said)
