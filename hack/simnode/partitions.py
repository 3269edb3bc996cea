"""Reads a GPU's MIG layouts."""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import dataclass, replace

from simnode import draws
from simnode.document import Value
from simnode.engines import same_place
from simnode.mig_profiles import Partitioning, partitioning
from simnode.world import ComputeInstance, GpuInstance, Layout

_UUID = "MIG-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_GPU_WORDS = ("uuid", "minor", "index", "replica")
_INSTANCE_WORDS = (*_GPU_WORDS, "gi", "ci", "mig_uuid", "profile")


@dataclass(frozen=True, slots=True)
class Plan:
    """The GPU whose layouts are read."""

    index: int
    model: str
    path: str
    seed: int
    uuids: dict[str, Value]  # of the whole scenario, with the place of the GPU that has them
    place: Value

    @property
    def partitioning(self) -> Partitioning:
        return partitioning(self.model)


def id_template(value: Value, of_instance: bool, replicas: int) -> str:
    """A template of ids; its words are known, and replicas get ids of their own."""
    text, known = value.text("id"), _INSTANCE_WORDS if of_instance else _GPU_WORDS
    try:
        words = {word for _, word, _, _ in string.Formatter().parse(text) if word is not None}
    except ValueError:
        value.fail(f"id must be text with words such as {{uuid}}, not {text!r}")
    if not words <= set(known):
        value.fail(f"id may name {', '.join(f'{{{word}}}' for word in known)} only")
    if replicas > 1 and "replica" not in words:
        value.fail("id must contain {replica}, since each replica has an id of its own")
    return text


def read_layouts(entries: Value, plan: Plan) -> tuple[Layout, ...]:
    found: list[Layout] = []
    for number, entry in enumerate(entries.items("mig", 1)):
        fields = entry.section("a layout", ("at", "instances", "off"))
        at = fields["at"].offset("at") if "at" in fields else 0
        if at < 0 or (found and at <= found[-1].at_ns):
            fields.get("at", entry).fail(
                "each layout's `at` must be after the one before, the first not negative"
            )
        off = fields["off"].boolean("off") if "off" in fields else False
        if off == ("instances" in fields):
            entry.fail("a layout has either `instances`, which may be empty, or `off: true`")
        before = found[-1] if found else Layout(0, (), True)
        items = [] if off else fields["instances"].items("instances")
        found.append(Layout(at, tuple(_instances(items, plan, number, before)), off))
    return tuple(found)


def _instances(items: list[Value], plan: Plan, number: int, before: Layout) -> Iterator[GpuInstance]:
    taken: dict[int, GpuInstance] = {}  # by memory slice
    made: dict[int, GpuInstance] = {}
    uuids: set[str] = set()
    total = plan.partitioning
    for item in items:
        instance = _instance(item, plan, number, before, taken)
        if instance.gi in made:
            item.fail(f"this layout has an instance {instance.gi} already; each `gi` stands once")
        places = range(instance.start, instance.start + instance.size)
        if places.stop > total.memory_slices:
            item.fail(f"the instance ends past the GPU's {total.memory_slices} memory slices")
        if any(place in taken for place in places):
            item.fail("the instance lies on another one's memory slices; give it another `start`")
        if instance.slices + sum(other.slices for other in made.values()) > total.slices:
            item.fail(f"the layout's instances have more than the GPU's {total.slices} compute slices")
        for part in instance.compute_instances:
            if part.uuid in uuids or plan.uuids.get(part.uuid, plan.place) is not plan.place:
                item.fail(f"{part.uuid} is another instance's; UUIDs must differ")
            plan.uuids[part.uuid] = plan.place
            uuids.add(part.uuid)
        taken |= dict.fromkeys(places, instance)
        made[instance.gi] = instance
        yield instance


def _instance(
    item: Value, plan: Plan, number: int, before: Layout, taken: dict[int, GpuInstance]
) -> GpuInstance:
    own = ("profile_id", "slices", "size", "memory_mib")
    keys = ("gi", "profile", *own, "start", "resource", "id", "compute_instances")
    fields = item.section("an instance", keys)
    for key in ("gi", "profile"):
        if key not in fields:
            item.fail(f"an instance needs `{key}`")
    profile = fields["profile"].text("profile")
    known = plan.partitioning.profiles.get(profile)
    for key in own:
        if not known and key not in fields:
            names = ", ".join(plan.partitioning.profiles) or "none are known"
            item.fail(
                f"{plan.model} has no profile {profile} ({names}); give its `{key}`, or another profile"
            )

    def given(key: str, default: int, least: int, most: int) -> int:
        return fields[key].integer(key, least, most) if key in fields else default

    slices = given("slices", known.slices if known else 0, 1, 8)
    size = given("size", known.size if known else 0, 1, 16)
    gi = fields["gi"].integer("gi", 0, 255)
    start = fields["start"].integer("start", 0, 15) if "start" in fields else None
    if start is None:
        starts = list(known.starts if known else range(plan.partitioning.memory_slices))
        old = [one.start for one in before.instances if (one.gi, one.profile) == (gi, profile)]
        free = [at for at in [*old, *starts] if not any(at + step in taken for step in range(size))]
        start = free[0] if free else item.fail("there is no free place for this instance; give its `start`")
    instance = GpuInstance(
        gi=gi,
        profile=profile,
        profile_id=given("profile_id", known.id if known else 0, 0, 255),
        slices=slices,
        start=start,
        size=size,
        memory_mib=given("memory_mib", known.memory_mib if known else 0, 1, 2**24),
        compute_instances=(),
        resource=fields["resource"].text("resource") if "resource" in fields else "",
    )
    parts = _parts(fields.get("compute_instances"), plan, number, instance, before)
    if sum(part.slices for part in parts) > slices:
        item.fail(f"the compute instances have more slices than the {slices} of their instance")
    most = max((part.replicas for part in parts), default=1)
    template = id_template(fields["id"], True, most) if "id" in fields else ""
    return replace(instance, compute_instances=parts, id=template)


def _parts(
    entries: Value | None, plan: Plan, number: int, instance: GpuInstance, before: Layout
) -> tuple[ComputeInstance, ...]:
    if entries is None:
        uuid = _uuid(plan, number, instance, ComputeInstance(0, "", instance.slices), before)
        return (ComputeInstance(0, uuid, instance.slices),)
    found: list[ComputeInstance] = []
    for entry in entries.items("compute_instances"):
        fields = entry.section("a compute instance", ("ci", "slices", "uuid", "replicas"))
        ci = fields["ci"].integer("ci", 0, 7) if "ci" in fields else len(found)
        if any(part.ci == ci for part in found):
            entry.fail(f"this instance has a compute instance {ci} already; each `ci` stands once")
        slices = fields["slices"].integer("slices", 1, 8) if "slices" in fields else instance.slices
        replicas = fields["replicas"].integer("replicas", 1, 1024) if "replicas" in fields else 1
        part = ComputeInstance(ci, "", slices, replicas)
        if "uuid" in fields:
            uuid = fields["uuid"].matching("uuid", _UUID, "MIG-5a5a7118-e550-79a1-597e-7631e126c57a")
        else:
            uuid = _uuid(plan, number, instance, part, before)
        found.append(ComputeInstance(ci, uuid, slices, replicas))
    return tuple(found)


def _uuid(plan: Plan, number: int, instance: GpuInstance, part: ComputeInstance, before: Layout) -> str:
    """One that was there before keeps its UUID; one that is made has a new one."""
    old = before.find(instance.gi, part.ci)
    if old and same_place(old[0], instance) and old[1].slices == part.slices:
        return old[1].uuid
    what = f"layout {number}, instance {instance.gi}/{part.ci}"
    return "MIG-" + draws.lower_uuid(plan.seed, plan.path, what)
