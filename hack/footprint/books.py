"""Whether the books that an agent kept while it was measured are whole: a saving that loses time is none."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from demo.audit.answers import Aggregator, NoAnswer, Row

NS = 10**9


@dataclass(frozen=True, slots=True)
class Books:
    """
    What the aggregator holds of the windows that began and ended during the run.

    *open_ns* is by how much windows of GPUs are not charged to the nanosecond; *blind_ns* is time that nobody watched.
    """

    rows: int = 0
    windows: int = 0
    gpus: int = 0
    open_ns: int = 0
    blind_ns: int = 0
    used_ns: int = 0


def read(base: str, began_ns: int, window_seconds: int) -> Books | None:
    """Of all complete windows; None if there is none, or nobody answers."""
    length_ns = window_seconds * NS
    first_ns = -(-began_ns // length_ns) * length_ns
    try:
        answers = Aggregator(base).ask(first_ns, first_ns)
    except NoAnswer:
        return None
    return None if answers is None else summed(answers.rows, length_ns)


def summed(rows: list[Row], length_ns: int) -> Books:
    """Over the rows."""
    by_window: defaultdict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in rows:
        by_window[row.gpu_uuid, row.start_ns].append(row)
    charged = {key: sum(row.charged_ns for row in found) for key, found in by_window.items()}
    starts, gpus = {start for _, start in by_window}, {uuid for uuid, _ in by_window}
    missing = len(starts) * len(gpus) - len(by_window)
    return Books(
        rows=len(rows),
        windows=len(starts),
        gpus=len(gpus),
        open_ns=sum(abs(length_ns - ns) for ns in charged.values()) + missing * length_ns,
        blind_ns=sum(_blind_ns(row) for row in rows) + missing * length_ns,
        used_ns=sum(row.used_ns for row in rows),
    )


def _blind_ns(row: Row) -> int:
    return row.charged_ns if row.who.kind == "unobserved" else row.unmeasured_ns
