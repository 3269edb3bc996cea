"""Reads processes: when they live, on what they work, and what they want of it."""

from __future__ import annotations

from dataclasses import dataclass

from simnode.document import Value
from simnode.holdings import Draft, earlier, instance_of
from simnode.lives import LAST_PID
from simnode.patterns import read_busy
from simnode.world import ProcessSpec

CONTEXT_MIB = 500
"""What a process holds if the scenario does not say: about the size of a CUDA context."""

_KEYS = (
    "gpu",
    "gi",
    "ci",
    "pid",
    "start",
    "end",
    "every",
    "for",
    "memory_mib",
    "busy",
    "threads",
    "sm",
    "tensor",
    "dram",
)


@dataclass(frozen=True, slots=True)
class Life:
    """In what something has to live, from the simulation's start; the file counts from origin."""

    origin_ns: int
    first_ns: int
    last_ns: int | None
    of: str = "pod"


def read_span(fields: dict[str, Value], whose: str, life: Life) -> tuple[int, int | None]:
    """Start and end; by default those of the life."""
    origin, last = life.origin_ns, life.last_ns
    start = life.first_ns
    if "start" in fields:
        start = origin + fields["start"].offset(f"{whose} start")
        if start < origin:
            fields["start"].fail(f"{whose} start must not be negative")
        if start < life.first_ns:
            fields["start"].fail(f"{whose} start is before its {life.of}'s start")
    end = last
    if "end" in fields:
        end = origin + fields["end"].offset(f"{whose} end")
        if last is not None and end > last:
            fields["end"].fail(f"{whose} end is after its {life.of}'s end; nothing outlives its {life.of}")
    if end is not None and end <= start:
        fields.get("end", fields.get("start", next(iter(fields.values())))).fail(
            f"{whose} end must be after its start"
        )
    return start, end


def read_process(entry: Value, draft: Draft, path: str, life: Life) -> ProcessSpec:
    """One entry under `processes` or `host_processes`. A process ends with the device on which it works."""
    fields = entry.section("a process", _KEYS)
    if "gpu" not in fields:
        entry.fail("a process needs `gpu`, the place of its GPU in the node's list")
    gpu = draft.gpu_index(fields["gpu"], "GPU")
    start, end = read_span(fields, "a process's", life)
    gi, ci = instance_of(fields)
    device = draft.device(entry, gpu, gi, ci, start)
    every, length = _repeats(fields, entry)
    pid = fields["pid"].integer("pid", 2, LAST_PID) if "pid" in fields else None
    threads = fields["threads"].number("threads", 0, 1, above=True) if "threads" in fields else 1
    if threads != 1 and draft.gpus[gpu].sharing != "mps":
        fields["threads"].fail("`threads` limits processes of a GPU with `sharing: mps`")
    sm, tensor, dram = (
        float(fields[key].number(key, 0, 1)) if key in fields else default
        for key, default in (("sm", 1.0), ("tensor", 0.0), ("dram", 0.0))
    )
    spec = ProcessSpec(
        path=path,
        gpu=gpu,
        pid=pid,
        slot=len(draft.specs),
        start_ns=start,
        end_ns=earlier(end, device.end_ns),
        every_ns=every,
        for_ns=length,
        memory_mib=fields["memory_mib"].integer("memory_mib", 0) if "memory_mib" in fields else CONTEXT_MIB,
        busy=read_busy(fields.get("busy")),
        gi=gi,
        ci=ci,
        threads=float(threads),
        sm=sm,
        tensor=tensor,
        dram=dram,
    )
    draft.specs.append((spec, entry))
    return spec


def _repeats(fields: dict[str, Value], entry: Value) -> tuple[int | None, int | None]:
    every = fields["every"].offset("every") if "every" in fields else None
    length = fields["for"].offset("for") if "for" in fields else None
    if (every is None) != (length is None):
        entry.fail("`every` and `for` belong together: a new process `every` so often, each `for` so long")
    if every is not None and length is not None:
        if length < 1_000_000:
            fields["for"].fail("for must be at least 1ms")
        if every < length:
            fields["every"].fail(
                "every must not be shorter than for: an entry has one living process at a time"
            )
        if "pid" in fields:
            fields["pid"].fail("each process of `every` has a new PID; leave `pid` out")
    return every, length
