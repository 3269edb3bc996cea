"""Reads a node's resource claims."""

from __future__ import annotations

from simnode import draws
from simnode.document import Value
from simnode.holdings import instance_of
from simnode.world import Claim, ClaimDevice, Gpu


def read_claims(entries: Value, seed: int, path: str, gpus: tuple[Gpu, ...]) -> tuple[Claim, ...]:
    found: list[Claim] = []
    for entry in entries.items("claims"):
        fields = entry.section("a claim", ("name", "namespace", "uid", "devices", "share_id"))
        for key in ("name", "namespace", "devices"):
            if key not in fields:
                entry.fail(f"a claim needs `{key}`")
        name, namespace = (
            fields["name"].name("a claim's name"),
            fields["namespace"].name("a claim's namespace"),
        )
        if any((claim.namespace, claim.name) == (namespace, name) for claim in found):
            entry.fail(f"there is a claim {namespace}/{name} already; names must differ in a namespace")
        uid = draws.lower_uuid(seed, f"{path}/claims/{namespace}/{name}", "uid")
        if "uid" in fields:
            uid = fields["uid"].text("a claim's uid")
        devices = tuple(_device(device, gpus) for device in fields["devices"].items("devices", 1))
        share = fields["share_id"].text("share_id") if "share_id" in fields else ""
        found.append(Claim(name, namespace, uid, devices, share))
    return tuple(found)


def _device(entry: Value, gpus: tuple[Gpu, ...]) -> ClaimDevice:
    fields = entry.section("a claim's device", ("gpu", "gi", "ci", "made_for_it"))
    if "gpu" not in fields:
        entry.fail("a claim's device needs `gpu`, its place in the node's list")
    gpu = fields["gpu"].integer("gpu", 0, len(gpus) - 1)
    gi, ci = instance_of(fields)
    made = fields["made_for_it"].boolean("made_for_it") if "made_for_it" in fields else False
    return ClaimDevice(gpu, gi, ci, made)
