"""What is true now beside what the last complete window says: in use, quiet, given away; and how fresh that is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from gpucost import format as fmt
from gpucost.identity import HolderKind
from gpucost.units import NS_PER_SECOND

from gpucost_aggregator.live.reading import LiveRow
from gpucost_aggregator.reports.holding import Holding
from gpucost_aggregator.ui.replicas import ALL_ANSWERED, Replicas
from gpucost_aggregator.ui.surroundings import Surroundings

NOW_IN_USE = "In use"
NOW_TAKEN = "Taken"
NOW_QUIET = "quiet now"
SINCE_A_MOMENT = "since a moment"


class Now(Enum):
    """
    IN_USE: by the holder, or of a device that nobody holds, by anybody. TAKEN: a container was given the device.
    QUIET: the holder is there, and did not use it.
    """

    IN_USE = auto()
    TAKEN = auto()
    QUIET = auto()


@dataclass(frozen=True, slots=True)
class Sight:
    """
    What nodes told last, by device. *heard* and *expected* count nodes, None where they are not the reader's.

    *asks*: whether the page is about now at all; one of last week is not. *replicas* are the aggregators asked.
    """

    asks: bool = False
    rows: Mapping[tuple[str, ...], tuple[LiveRow, ...]] = field(default_factory=dict)
    heard: int | None = None
    expected: int | None = None
    interval_ns: int = 0
    replicas: Replicas = ALL_ANSWERED

    def of(self, holding: Holding) -> Now | None:
        """What *holding* is now: a pod on its device, or a device that nobody held; None where nobody can tell."""
        rows = self.rows.get(holding.device, ())
        if holding.is_held:
            own = [row for row in rows if _is_of(row, holding)]
            # Use that no process accounts for may be the holder's.
            if any(row.slice.time.used_ns for row in (*own, *(row for row in rows if _is_nobodys(row)))):
                return Now.IN_USE
            return Now.QUIET if own and not any(row.slice.time.unmeasured_ns for row in own) else None
        if any(
            row.slice.key.holder.kind is HolderKind.CONTAINER and row.slice.time.reserved_ns for row in rows
        ):
            return Now.TAKEN
        return Now.IN_USE if any(row.slice.time.used_ns for row in rows) else None

    def lasting(self, holdings: Iterable[Holding]) -> str:
        """Since when, and how long ago that was seen: ``since a moment, 4 s ago``."""
        ages = [row.age_ns for holding in holdings for row in self.rows.get(holding.device, ())]
        return f"{SINCE_A_MOMENT}, {_ago(min(ages))}" if ages else SINCE_A_MOMENT


def sight(
    rows: Iterable[LiveRow],
    heard: int | None,
    expected: int | None,
    interval_ns: int,
    replicas: Replicas = ALL_ANSWERED,
) -> Sight:
    """What *rows* show."""
    found: dict[tuple[str, ...], list[LiveRow]] = {}
    for row in rows:
        found.setdefault(_device(row), []).append(row)
    by_device = {key: tuple(same) for key, same in found.items()}
    return Sight(True, by_device, heard, expected, interval_ns, replicas)


def freshness(seen: Sight, around: Surroundings) -> str:
    """How fresh the page is, in a line: ``Live, 4 s ago``; empty where it is not about now."""
    if not seen.asks or not around.has_data:
        return ""
    window = as_of(around)
    ages = [row.age_ns for rows in seen.rows.values() for row in rows]
    missing = (seen.expected or 0) - (seen.heard or 0)
    silent = f"no live data from {missing:,} of {fmt.count(seen.expected or 0, 'node')}" if missing else ""
    if not ages:
        return f"{window[0].upper()}{window[1:]}, {silent or 'no live data'}"
    # The oldest of what is shown: nothing here is older.
    live = f"Live, {_ago(max(ages))}"
    return f"{live}; {window}, {silent}" if silent else live


def as_of(around: Surroundings) -> str:
    """What holds where nothing newer is known."""
    return f"as of the window that ended {fmt.clock_time(around.period.answered.end_ns, around.zone)}"


def _ago(age_ns: int) -> str:
    return f"{fmt.duration(max(age_ns, NS_PER_SECOND))} ago"


def _device(row: LiveRow) -> tuple[str, ...]:
    device, node = row.slice.key.device, row.slice.key.node
    parts = (device.gi, device.ci, device.profile, device.placement)
    return (node.cluster, node.node, device.gpu_uuid, *("" if each is None else str(each) for each in parts))


def _is_of(row: LiveRow, holding: Holding) -> bool:
    holder = row.slice.key.holder
    return (
        holder.kind is HolderKind.CONTAINER
        and (holder.namespace, holder.pod, holder.pod_uid) == holding.pod_key
    )


def _is_nobodys(row: LiveRow) -> bool:
    return row.slice.key.holder.kind is HolderKind.UNATTRIBUTED
