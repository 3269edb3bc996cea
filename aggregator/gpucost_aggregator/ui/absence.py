"""What stands in place of numbers where there are none, and why: missing is not zero."""

from dataclasses import dataclass

from gpucost import format as fmt

from gpucost_aggregator.ui.shell import Link
from gpucost_aggregator.ui.surroundings import Surroundings

FIRST_COMMAND = "gpucost-agent run --cluster NAME --node NODE --aggregator HOST:9443 --tls-ca CA.pem"
"""What starts an agent on a node of GPUs; plain text is spoken on loopback only."""

MOST_LINKS = 12


@dataclass(frozen=True, slots=True)
class Absence:
    """The page's *sentence*, and in place of a table a title, what to make of it, and where to go from here."""

    sentence: str
    title: str
    words: str
    links: tuple[Link, ...] = ()
    command: str = ""


def absence(around: Surroundings, first_ns: int | None, question: str) -> Absence | None:
    """
    Why there is nothing; None where there is something, whose first window begins at *first_ns*.

    Before the first agent, a page asks its *question* instead of answering it.
    """
    if first_ns is not None:
        return None
    names, answered = around.names, around.period.answered
    if not names.clusters:
        return Absence(
            question,
            "No agent has reported yet",
            "Agents report one window after they start. This page fills by itself.",
            command=FIRST_COMMAND,
        )
    if set(around.picked_clusters) & set(names.unheard_clusters) == set(around.picked_clusters) != set():
        return _no_such("cluster", names.unheard_clusters, names.clusters, "reported", around)
    if set(names.unheard_namespaces) == set(around.picked_namespaces) != set():
        return _no_such("namespace", names.unheard_namespaces, names.namespaces, "held a GPU", around)
    if answered.length_ns <= 0:
        return _said(
            "No window of this time is complete yet", "Choose a longer range, or wait for the next window."
        )
    when = fmt.interval(answered.start_ns, answered.end_ns, around.zone)
    if around.record.in_window:
        who = fmt.names(around.picked_namespaces)
        return _said(f"{who} held no GPU in this time", f"{when}. Take the filter away to see the others.")
    if around.record.begins_ns is None:
        return _said("Nothing was recorded yet", "This page has numbers as soon as there are some.")
    whose = fmt.names(around.picked_clusters) or "all clusters"
    begin = fmt.instant(around.record.begins_ns, around.zone)
    return _said(
        "Nothing was recorded in this window",
        f"{when}. The books of {whose} begin {begin}; what was before, or in a gap, nobody knows.",
    )


def nobody(around: Surroundings) -> Absence:
    """What stands in place of a table whose report has remainders only."""
    answered = around.period.answered
    when = fmt.interval(answered.start_ns, answered.end_ns, around.zone)
    return _said(
        "No container held a GPU in this time",
        f"{when}. Every GPU was free, unobserved, or used outside of containers.",
    )


def _said(title: str, words: str) -> Absence:
    return Absence(f"{title}.", title, words)


def _no_such(
    kind: str, asked: tuple[str, ...], have: tuple[str, ...], done: str, around: Surroundings
) -> Absence:
    title = f"No {kind} named {' or '.join(asked)} has {done}"
    links = [Link(name, around.link(around.path, **{kind: name})) for name in have[:MOST_LINKS]]
    links.append(Link(f"All {kind}s", around.link(around.path, **{kind: ""})))
    beyond = f" There are {len(have) - MOST_LINKS:,} more." if len(have) > MOST_LINKS else ""
    words = f"{'This one has' if len(have) == 1 else 'These have'}:" if have else "None has yet."
    return Absence(f"{title}.", title, f"{words}{beyond}", tuple(links))
