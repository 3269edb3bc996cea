"""Reads a node's pods."""

from __future__ import annotations

from types import MappingProxyType

from simnode import draws
from simnode.containers import read_containers
from simnode.document import Value
from simnode.holdings import Draft
from simnode.processes import Life, read_span
from simnode.world import Owner, Pod

_KEYS = (
    "name",
    "namespace",
    "uid",
    "labels",
    "annotations",
    "owner",
    "start",
    "end",
    "finished",
    "host_network",
    "ports",
    "containers",
)


def read_pods(entries: Value, draft: Draft, places: dict[str, Value]) -> list[Pod]:
    """The pods; a pod's path counts how often its name was used before, so that its draws are its own."""
    found: list[Pod] = []
    for entry in entries.items("pods"):
        fields = entry.section("a pod", _KEYS)
        for key in ("name", "namespace", "containers"):
            if key not in fields:
                entry.fail(f"a pod needs `{key}`")
        name = fields["name"].name("a pod's name")
        namespace = fields["namespace"].name("a pod's namespace")
        earlier = sum(pod.name == name and pod.namespace == namespace for pod in found)
        path = f"{draft.path}/pods/{namespace}/{name}/{earlier}"
        places[path] = entry
        start, end = read_span(fields, "a pod's", Life(0, 0, None))
        finished = _finished(fields, start, end)
        life = start, end if finished is None else finished
        containers = read_containers(fields["containers"], draft, path, namespace, life)
        uid = (
            fields["uid"].text("a pod's uid")
            if "uid" in fields
            else draws.lower_uuid(draft.seed, path, "uid")
        )
        empty = MappingProxyType[str, str]({})
        labels = fields["labels"].text_map("labels") if "labels" in fields else empty
        annotations = fields["annotations"].text_map("annotations") if "annotations" in fields else empty
        host = fields["host_network"].boolean("host_network") if "host_network" in fields else False
        found.append(
            Pod(
                path=path,
                name=name,
                namespace=namespace,
                uid=uid,
                labels=labels,
                annotations=annotations,
                owner=_owner(fields.get("owner")),
                start_ns=start,
                end_ns=end,
                containers=containers,
                finished_ns=finished,
                host_network=host,
                ports=_ports(fields.get("ports")),
            )
        )
    return found


def _finished(fields: dict[str, Value], start: int, end: int | None) -> int | None:
    if "finished" not in fields:
        return None
    finished = start + fields["finished"].offset("finished")
    if finished <= start or (end is not None and finished >= end):
        fields["finished"].fail("finished must be after the pod's start and before its end")
    return finished


def _ports(entry: Value | None) -> MappingProxyType[str, int]:
    numbers = entry.pairs("ports") if entry else {}
    return MappingProxyType(
        {name: number.integer(f"the port {name}", 1, 65535) for name, number in numbers.items()}
    )


def _owner(entry: Value | None) -> Owner | None:
    if entry is None or entry.is_null():
        return None
    if not entry.is_mapping():
        entry.choice("owner", ("none",))
        return None
    fields = entry.section("owner", ("kind", "name"))
    for key in ("kind", "name"):
        if key not in fields:
            entry.fail(f"an owner needs `{key}`; a pod without an owner has `owner: none` or no such key")
    kind = fields["kind"].choice("an owner's kind", ("Deployment", "StatefulSet", "Job", "DaemonSet"))
    return Owner(kind, fields["name"].name("an owner's name"))
