"""Reads what a node's kubelet and its dcgm-exporter are like, and when its driver fails."""

from __future__ import annotations

from simnode.document import Value
from simnode.world import Dcgm, Failure, Gpu, KubeletKind

FAILURES = ("lost", "gone", "hang", "error", "uninitialized", "mismatch")
_SWITCHES = (
    "dynamic_resources",
    "lists_finished",
    "doubled_claims",
    "checkpoint",
    "dra_checkpoint",
    "cdi",
)


def read_kubelet(entry: Value | None) -> KubeletKind:
    if entry is None:
        return KubeletKind()
    fields = entry.section("kubelet", ("version", "numa_nodes", *_SWITCHES))
    version = KubeletKind().version
    if "version" in fields:
        version = fields["version"].matching("version", r"1\.\d+(?:\.\d+)?", version)
    recent = int(version.split(".")[1]) >= 34
    facts = {"dynamic_resources": recent, "lists_finished": not recent, "doubled_claims": False}
    facts |= {key: fields[key].boolean(key) for key in _SWITCHES if key in fields}
    numa = fields["numa_nodes"].integer("numa_nodes", 1, 64) if "numa_nodes" in fields else 1
    return KubeletKind(version=version, numa_nodes=numa, **facts)


def read_dcgm(entry: Value | None) -> Dcgm | None:
    if entry is None:
        return None
    keys = ("interval", "names", "labels", "sentinels", "pod", "down", "scale")
    fields, plain = entry.section("dcgm", keys), Dcgm()
    interval = fields["interval"].offset("interval") if "interval" in fields else plain.interval_ns
    if interval < 100_000_000:
        fields["interval"].fail("interval must be at least 100ms")
    down = fields["down"].items("down") if "down" in fields else []
    return Dcgm(
        interval_ns=interval,
        names=fields["names"].choice("names", ("old", "new")) if "names" in fields else plain.names,
        labels=fields["labels"].choice("labels", ("old", "new")) if "labels" in fields else plain.labels,
        sentinels=fields["sentinels"].boolean("sentinels") if "sentinels" in fields else plain.sentinels,
        pod=fields["pod"].boolean("pod") if "pod" in fields else plain.pod,
        down=tuple(_span(span, span.section("a time in `down`", ("at", "until"))) for span in down),
        scale=float(fields["scale"].number("scale", 0, 1000)) if "scale" in fields else plain.scale,
    )


def read_failures(entries: Value | None, gpus: tuple[Gpu, ...]) -> tuple[Failure, ...]:
    found: list[Failure] = []
    for entry in entries.items("failures") if entries else []:
        fields = entry.section("a failure", ("kind", "at", "until", "gpu", "call", "code"))
        if "kind" not in fields:
            entry.fail(f"a failure needs `kind`, one of {', '.join(FAILURES)}")
        kind = fields["kind"].choice("kind", FAILURES)
        if "code" in fields and kind != "error":
            fields["code"].fail("`code` belongs to failures of the kind error")
        for key in ("gpu", "call"):
            if key in fields and kind in ("uninitialized", "mismatch"):
                fields[key].fail(f"a failure of the kind {kind} is of the whole driver; leave `{key}` out")
        if "call" in fields and kind in ("lost", "gone"):
            fields["call"].fail(f"a GPU that is {kind} is so for every call; leave `call` out")
        call = fields["call"].text("call") if "call" in fields else ""
        if len(call) > 60:
            fields["call"].fail("call must be at most 60 characters, a part of a C symbol's name")
        gpu = fields["gpu"].integer("gpu", 0, len(gpus) - 1) if "gpu" in fields else None
        code = fields["code"].integer("code", 1, 999) if "code" in fields else 999
        found.append(Failure(kind, *_span(entry, fields), gpu, call, code))
    return tuple(found)


def _span(entry: Value, fields: dict[str, Value]) -> tuple[int, int | None]:
    if "at" not in fields:
        entry.fail("this needs `at`, the time at which it begins")
    at = fields["at"].offset("at")
    until = fields["until"].offset("until") if "until" in fields else None
    if until is not None and until <= at:
        fields["until"].fail("until must be after at")
    return at, until


def read_symbols(entry: Value | None) -> tuple[str, ...]:
    """Parts of names of C symbols that are not supported."""
    found = []
    for item in entry.items("unsupported") if entry else []:
        found.append(item.text("a part of a C symbol's name"))
        if len(found[-1]) > 60:
            item.fail("a part of a C symbol's name must be at most 60 characters")
    return tuple(found)
