"""Reads a pod's containers: when they run and what they hold."""

from __future__ import annotations

from simnode import draws
from simnode.document import Value
from simnode.holdings import Draft, Request, claimed, read_hold, read_listed
from simnode.processes import Life, read_process, read_span
from simnode.world import Container

KINDS = ("container", "init", "sidecar")
_KEYS = ("name", "id", "kind", "start", "end", "gpus", "ids", "claims", "processes")


def read_containers(
    entries: Value, draft: Draft, pod: str, namespace: str, life: tuple[int, int | None]
) -> tuple[Container, ...]:
    """
    The containers of a pod that lives so long.

    Init containers run one after the other, in the order in which they stand, and the others after them.
    """
    found: list[Container] = []
    requests: list[Request] = []
    first = life[0]
    ordered = _in_order(entries.items("containers", 1))
    for place, fields in ordered:
        container, held = _container(place, fields, draft, (pod, namespace), Life(life[0], first, life[1]))
        if any(other.name == container.name for other in found):
            place.fail(f"this pod has a container {container.name} already; names must differ in a pod")
        if container.kind == "init" and container.end_ns is not None:
            first = container.end_ns
        found.append(container)
        requests += held
    draft.requests += requests
    return tuple(found)


def _in_order(items: list[Value]) -> list[tuple[Value, dict[str, Value]]]:
    """Init containers first, as in a pod's status."""
    read = [(item, item.section("a container", _KEYS)) for item in items]
    return sorted(
        read, key=lambda one: "kind" not in one[1] or one[1]["kind"].choice("kind", KINDS) == "container"
    )


def _container(
    entry: Value, fields: dict[str, Value], draft: Draft, of_pod: tuple[str, str], life: Life
) -> tuple[Container, list[Request]]:
    if "name" not in fields:
        entry.fail("a container needs `name`")
    pod, namespace = of_pod
    name = fields["name"].name("a container's name")
    path = f"{pod}/containers/{name}"
    id_ = draws.hexadecimal(draft.seed, path, "id")
    if "id" in fields:
        id_ = fields["id"].matching("a container's id", "[0-9a-f]{64}", "64 hexadecimal digits in lower case")
    kind = fields["kind"].choice("kind", KINDS) if "kind" in fields else "container"
    if kind == "init" and "end" not in fields:
        entry.fail("an init container needs `end`; the containers after it start then")
    start, end = read_span(fields, "a container's", life)
    held = life.origin_ns, life.last_ns
    whose = (pod, path, kind)
    requests: list[Request] = []
    seen: set[tuple[int, int]] = set()
    for item in fields["gpus"].items("gpus") if "gpus" in fields else []:
        request = read_hold(item, draft, whose, held)
        device = request.device
        if (device.gpu, device.number) in seen:
            item.fail(
                f"this container holds GPU {device.gpu} already; write {{gpu: {device.gpu}, replicas: N}} once"
                if device.gi is None
                else f"this container holds instance {device.gi}/{device.ci} of GPU {device.gpu} already"
            )
        seen.add((device.gpu, device.number))
        requests.append(request)
    claims, by_claims = claimed(fields.get("claims"), draft, namespace, whose, held)
    items = fields["processes"].items("processes") if "processes" in fields else []
    inside = Life(life.origin_ns, start, end, "pod" if (start, end) == held else "container")
    processes = tuple(
        read_process(item, draft, f"{path}/processes/{i}", inside) for i, item in enumerate(items)
    )
    container = Container(
        path=path,
        name=name,
        id=id_,
        holds=(),
        processes=processes,
        kind=kind,
        start_ns=start,
        end_ns=end,
        listed=read_listed(fields.get("ids")),
        claims=claims,
    )
    return container, requests + by_claims
