"""What the driver's library hands out, some of it memory that nobody filled in."""

import json
from typing import Any

from hypothesis import strategies as st

from fuzz.shapes import see_typed
from fuzz.target import Target, bytes_of, holds, text_of
from gpucost_agent.readings import PPM
from gpucost_agent.sources.driver.driver_calls import ListKind, RawActivity, RawProcess, RawSample, RawUse
from gpucost_agent.sources.driver.driver_rows import (
    activity_span,
    plausible_samples,
    process_window,
    ring_samples,
    running_processes,
)

NOW_US = 1_790_000_000_000_000
NONE = 2**32 - 1
NO_PIDS = frozenset({0, NONE})

stamps = st.integers(NOW_US - 20_000_000, NOW_US + 3_000_000) | st.sampled_from(
    [0, 1, 2**63, 2**64 - 1, NOW_US]
)
percents = st.integers(0, 101) | st.sampled_from([2**32 - 1, 2**31, 1_000])
pids = st.integers(1, 4) | st.sampled_from([0, NONE, 2**31])
samples = st.lists(st.tuples(stamps, percents).map(list), max_size=8)
uses = st.lists(st.tuples(pids, stamps, percents).map(list), max_size=8)
instances = st.none() | st.sampled_from([0, 1, 7, NONE])
processes = st.lists(
    st.tuples(pids, instances, instances, st.none() | st.sampled_from([0, 5, 2**63, 2**64 - 1])).map(list),
    max_size=5,
)
activities = st.lists(
    st.none() | st.floats(allow_nan=True) | st.floats(-1, 120) | st.sampled_from([100.5, 1e30]),
    min_size=4,
    max_size=4,
)
readings = st.fixed_dictionaries(
    {
        "since": st.integers(NOW_US - 20_000_000, NOW_US),
        "samples": samples,
        "uses": uses,
        "lists": st.dictionaries(st.sampled_from([kind.value for kind in ListKind]), processes, max_size=3),
        "activity": activities,
    }
)


def check_rows(data: bytes) -> bool:
    """What is believed can be: shares between 0 and all, by time, in the window, of processes that are some."""
    said: dict[str, Any] = json.loads(text_of(data))
    since = said["since"]
    raw = [RawSample(*row) for row in said["samples"]]
    kept = plausible_samples(raw, since, NOW_US)
    holds(kept == plausible_samples(kept, since, NOW_US), "what was kept is not kept again")
    stamped = [sample.stamp_us for sample in kept]
    holds(stamped == sorted(set(stamped)), "samples are not by time, each once")
    right = {row[0] for row in said["samples"] if since < row[0] <= NOW_US + 1_000_000 and 0 <= row[1] <= 100}
    holds(right == set(stamped), f"kept {sorted(stamped)} of {sorted(right)}")
    holds(
        all(0 <= each.busy_ppm <= PPM for each in ring_samples(kept, since)), "a sample is busier than busy"
    )
    holds(
        [each.ended_at_ns for each in ring_samples(kept, since)] == [stamp * 1_000 for stamp in stamped],
        "stamps",
    )
    if kept:
        _see_window(said, kept)
    _see_processes(said["lists"])
    _see_activity(said["activity"])
    return bool(kept)


def _see_window(said: dict[str, Any], kept: list[RawSample]) -> None:
    since, rows = said["since"], [RawUse(*row) for row in said["uses"]]
    window = process_window(rows, kept, since)
    see_typed(window)
    holds(since * 1_000 <= window.since_ns < window.until_ns == kept[-1].stamp_us * 1_000, f"{window}")
    holds(window.samples == len(kept), "samples are miscounted")
    named = [use.pid for use in window.uses]
    holds(named == sorted(set(named)) and not NO_PIDS & set(named), f"processes {named}")
    holds(all(0 <= use.busy_ppm <= PPM for use in window.uses), "a process is busier than busy")
    newest: dict[int, tuple[int, int]] = {}
    for pid, stamp, percent in said["uses"]:
        good = since < stamp <= kept[-1].stamp_us + 1_000_000 and 0 <= percent <= 100 and pid not in NO_PIDS
        if good and stamp >= newest.get(pid, (0, 0))[0]:
            newest[pid] = (stamp, percent)
    expected = {pid: percent * 10_000 for pid, (_, percent) in newest.items()}
    holds({use.pid: use.busy_ppm for use in window.uses} == expected, f"{window.uses} is not {expected}")


def _see_processes(lists: dict[str, list[list[Any]]]) -> None:
    rows = {ListKind(kind): [RawProcess(*row) for row in found] for kind, found in lists.items()}
    found = running_processes(rows)
    backwards = {kind: rows[kind][::-1] for kind in reversed(rows)}
    holds(running_processes(backwards) == found, "the order of lists and rows matters")
    for process in found:
        see_typed(process)
        holds(process.pid not in NO_PIDS, f"process {process.pid}")
        holds(process.gi is None or 0 <= process.gi < NONE, f"instance {process.gi}")
    listed = {row.pid for each in rows.values() for row in each} - NO_PIDS
    holds({process.pid for process in found} == listed, "a process was lost")
    memory: dict[int, int] = {}
    for each in rows.values():
        for row in each:
            memory[row.pid] = max(memory.get(row.pid, 0), row.memory_bytes or 0)
    for process in found:
        holds((process.memory_bytes or 0) <= memory[process.pid], "memory is counted twice")
    clients = {row.pid for row in rows.get(ListKind.MPS, [])} - NO_PIDS
    holds({process.pid for process in found if process.mps} == clients, "clients of MPS")


def _see_activity(values: list[float | None]) -> None:
    span, garbage = activity_span(RawActivity(*values), 1, 2, None)
    believed = [value is not None and 0 <= value <= 101 for value in values]
    holds((span is not None) == any(believed), f"{values} give {span}")
    holds(
        garbage == any(value is not None and not good for value, good in zip(values, believed, strict=True)),
        "garbage",
    )
    if span is not None:
        shares = (span.busy_ppm, span.sm_ppm, span.tensor_ppm, span.dram_ppm)
        for value, share in zip(values, shares, strict=True):
            good = value is not None and 0 <= value <= 101
            holds(share == (min(PPM, round(value * 10_000)) if good else None), f"{value} is {share}")  # type: ignore[operator]


TARGETS = (
    Target(
        "driver_rows",
        ("agent/gpucost_agent/sources/driver/driver_rows.py",),
        readings.map(lambda value: bytes_of(json.dumps(value))),
        check_rows,
    ),
)
