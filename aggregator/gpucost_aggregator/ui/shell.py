"""What stands around every page: where one can go, which time it is about, and how late it is."""

from dataclasses import dataclass

from gpucost import format as fmt
from gpucost.units import NS_PER_SECOND

from gpucost_aggregator.ui.surroundings import Surroundings

PAGES = (("/", "Overview"), ("/namespaces", "Namespaces"), ("/models", "Models"), ("/idle", "Idle"))
RANGES = (("1h", "1 h"), ("24h", "24 h"), ("7d", "7 days"), ("30d", "30 days"), ("today", "Today"))

LATE_AFTER_NS = 180 * NS_PER_SECOND
"""Behind by more than the lag that the project promises, a page says so."""

LATE_WINDOWS = 4

MOST_NAMED = 5
"""More namespaces than this are counted above a page, not named."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link; *count* is a number beside it, *current* marks where one is."""

    text: str
    href: str
    current: bool = False
    count: str = ""


@dataclass(frozen=True, slots=True)
class Banner:
    """Something that the reader must know before the numbers; *kind* is ``warn`` or ``bad``."""

    kind: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Shell:
    """All of it as finished texts."""

    title: str
    theme: str
    to_dark: str
    to_light: str
    pages: tuple[Link, ...]
    ranges: tuple[Link, ...]
    range_text: str
    clusters: tuple[Link, ...]
    chips: tuple[Link, ...]
    crumb: str
    banners: tuple[Banner, ...]
    health: str
    health_text: str
    agents: str
    version: str
    refresh_seconds: int | None


def shell(title: str, around: Surroundings) -> Shell:
    """The shell of the page *title*."""
    window = around.state.get("window") or around.period.text
    lag_ns = _lag_ns(around)
    return Shell(
        title=title,
        theme=around.state.get("theme", ""),
        to_dark=around.link(around.path, theme="dark"),
        to_light=around.link(around.path, theme="light"),
        pages=tuple(
            Link(name, around.link(path), path == around.path, around.counts.get(path, ""))
            for path, name in PAGES
        ),
        ranges=tuple(Link(name, around.link(around.path, window=key), key == window) for key, name in RANGES),
        range_text=_range_text(around),
        clusters=_clusters(around),
        chips=tuple(
            Link(f"namespace {name}", around.link(around.path, namespace=_without(around, name)))
            for name in _asked(around)
        ),
        crumb=_crumb(around),
        banners=_banners(around, lag_ns),
        health=_health(around, lag_ns),
        health_text=_health_text(around, lag_ns),
        agents=_agents(around),
        version=around.version,
        refresh_seconds=None if around.clusters else 5,
    )


def _range_text(around: Surroundings) -> str:
    answered = around.period.answered
    first, last = fmt.day(answered.start_ns, around.zone), fmt.day(max(answered.end_ns - 1, 0), around.zone)
    if first == last:
        return first
    if first.split()[1] == last.split()[1]:
        return f"{first.split()[0]}{fmt.EN_DASH}{last}"
    return f"{first} {fmt.EN_DASH} {last}"


def _clusters(around: Surroundings) -> tuple[Link, ...]:
    if len(around.clusters) < 2:
        return ()
    everything = Link("All clusters", around.link(around.path, cluster=""), not around.picked_clusters)
    return everything, *(
        Link(name, around.link(around.path, cluster=name), name in around.picked_clusters)
        for name in (*around.clusters, *around.names.unheard_clusters)
    )


def _asked(around: Surroundings) -> tuple[str, ...]:
    """Namespaces that can be taken away again; others are the reader's own part."""
    asked = around.state.get("namespace", "").split(",")
    return tuple(name for name in around.picked_namespaces if name in asked)


def _without(around: Surroundings, name: str) -> str:
    return ",".join(each for each in _asked(around) if each != name)


def _crumb(around: Surroundings) -> str:
    where = fmt.names(around.picked_clusters) or "All clusters"
    if len(around.picked_namespaces) > MOST_NAMED:
        where = f"{where} · {len(around.picked_namespaces)} namespaces"
    elif around.picked_namespaces:
        where = f"{where} · namespace {fmt.names(around.picked_namespaces)}"
    if not around.has_data:
        return where
    answered = around.period.answered
    when = fmt.interval(answered.start_ns, answered.end_ns, around.zone)
    return f"{where} · {when} · complete windows of {fmt.duration(around.known.step_ns)} only"


def _lag_ns(around: Surroundings) -> int:
    through = around.known.complete_through_ns
    return 0 if through is None else max(0, around.now_ns - through)


def _is_late(around: Surroundings, lag_ns: int) -> bool:
    return lag_ns > max(LATE_AFTER_NS, LATE_WINDOWS * around.known.step_ns)


def _banners(around: Surroundings, lag_ns: int) -> tuple[Banner, ...]:
    known, names = around.known, around.names
    banners = []
    # Where all names are unknown, the page says nothing else.
    for asked, strange in (
        (around.picked_clusters, names.unheard_clusters),
        (around.picked_namespaces, names.unheard_namespaces),
    ):
        if strange and set(strange) != set(asked):
            text = f"{fmt.names(strange)}: nothing of this name has ever reported."
            banners.append(Banner("warn", "Unknown name", text))
    if known.complete_through_ns is not None and _is_late(around, lag_ns):
        at = fmt.instant(known.complete_through_ns, around.zone)
        text = f"The last complete window ended {at}, {fmt.duration(lag_ns)} ago. Numbers below end there."
        banners.append(Banner("warn", "Late", text))
    if around.doubled:
        named = [f"{node.node} ({node.cluster})" for node in around.doubled[:3]]
        if len(around.doubled) > len(named):
            named.append(f"{len(around.doubled) - len(named)} more")
        text = (
            f"{fmt.names(named)}: agents take the stream from each other. Give each its own name, or end one."
        )
        banners.append(Banner("bad", "Two agents call themselves by one name", text))
    if known.silent:
        named = [f"{node.node} ({node.cluster})" for node in known.silent[:3]]
        if len(known.silent) > len(named):
            named.append(f"{len(known.silent) - len(named)} more")
        text = f"{fmt.names(named)}: not heard for over 3 minutes. What they measured since then comes later."
        banners.append(Banner("warn", fmt.count(len(known.silent), "silent node"), text))
    return tuple(banners)


def _health(around: Surroundings, lag_ns: int) -> str:
    if not around.has_data:
        return "none"
    return "warn" if _is_late(around, lag_ns) or around.known.silent else "ok"


def _health_text(around: Surroundings, lag_ns: int) -> str:
    through = around.known.complete_through_ns
    if through is None:
        return "No such cluster" if around.names.unheard_clusters else "Waiting for the first agent"
    word = "Late" if _is_late(around, lag_ns) else "Complete"
    return f"{word} to {fmt.clock_time(through, around.zone)}"


def _agents(around: Surroundings) -> str:
    nodes = around.known.nodes
    if not nodes:
        return ""
    return f"{nodes - len(around.known.silent):,} of {fmt.count(nodes, 'node')} heard"
