"""What can be held: whole GPUs, and the instances of those that MIG partitions. Part of world.py's values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hold:
    """
    What a container holds of one device: the numbers of its replicas; (0,) where the device is not shared.

    *gi*, *ci* and *mig_uuid* name a compute instance; instance ids are used again, so the UUID tells which one.
    *share* is the part that a scheduler of fractions gave it, 1 for all of the replicas.
    *hidden*: the kubelet is not told of it. *ids* are the kubelet's where the scenario names them.
    *claim* names the resource claim by which it is held.
    """

    gpu: int
    replicas: tuple[int, ...]
    gi: int | None = None
    ci: int | None = None
    mig_uuid: str = ""
    share: float = 1.0
    hidden: bool = False
    ids: tuple[str, ...] = ()
    resource: str | None = None
    claim: str | None = None


@dataclass(frozen=True, slots=True)
class ComputeInstance:
    ci: int
    uuid: str  # MIG-...
    slices: int
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class GpuInstance:
    """*start* and *size* are its place in the GPU's memory slices."""

    gi: int
    profile: str  # 3g.40gb
    profile_id: int  # the driver's number of the profile
    slices: int
    start: int
    size: int
    memory_mib: int
    compute_instances: tuple[ComputeInstance, ...]
    resource: str = ""  # empty: nvidia.com/mig-NAME
    id: str = ""  # template; empty: {mig_uuid}, with replicas {mig_uuid}::{replica}

    def name_of(self, part: ComputeInstance) -> str:
        """As NVIDIA names a compute instance: 3g.40gb, or 1c.3g.40gb if it is a part of its GPU instance."""
        return self.profile if part.slices == self.slices else f"{part.slices}c.{self.profile}"


@dataclass(frozen=True, slots=True)
class Layout:
    """A partition of a GPU from an instant on; *off*: MIG is off from then on."""

    at_ns: int
    instances: tuple[GpuInstance, ...]
    off: bool = False

    def find(self, gi: int, ci: int) -> tuple[GpuInstance, ComputeInstance] | None:
        for instance in self.instances:
            for part in instance.compute_instances:
                if (instance.gi, part.ci) == (gi, ci):
                    return instance, part
        return None


@dataclass(frozen=True, slots=True)
class Gpu:
    index: int
    model: str
    uuid: str
    minor: int
    memory_mib: int
    replicas: int
    idle_milliwatts: int
    busy_milliwatts: int
    sharing: str = "time_slicing"  # time_slicing, mps
    resource: str = "nvidia.com/gpu"
    id: str = ""  # template of a device plugin's id; empty: {uuid}, with replicas {uuid}::{replica}
    layouts: tuple[Layout, ...] = ()  # empty: MIG is off for ever
    accounting: bool | None = None  # None: as the node's driver has it
    unsupported: tuple[str, ...] = ()  # as the node's driver's, of this GPU only

    def layout(self, at_ns: int) -> Layout | None:
        """The MIG layout at an instant; None if MIG is off."""
        current = [layout for layout in self.layouts if layout.at_ns <= at_ns]
        return current[-1] if current and not current[-1].off else None

    def instance(self, hold: Hold) -> tuple[GpuInstance, ComputeInstance] | None:
        """The instances that are held; None for a hold of the whole GPU. Raises KeyError if there are none."""
        if hold.gi is None:
            return None
        for layout in self.layouts:
            found = layout.find(hold.gi, hold.ci or 0)
            if found and hold.mig_uuid in ("", found[1].uuid):
                return found
        raise KeyError(f"GPU {self.index} has no instance {hold.gi}/{hold.ci} {hold.mig_uuid}")

    def replicas_of(self, hold: Hold) -> int:
        """Of how many replicas the held ones are some."""
        found = self.instance(hold)
        return found[1].replicas if found else self.replicas

    def resource_of(self, hold: Hold) -> str:
        """The resource under which the held device is given out."""
        if hold.resource:
            return hold.resource
        found = self.instance(hold)
        if not found:
            return self.resource
        return found[0].resource or "nvidia.com/mig-" + found[0].name_of(found[1]).replace("+", ".")

    def device_ids(self, hold: Hold) -> tuple[str, ...]:
        """The ids by which a device plugin names what is held."""
        if hold.ids:
            return hold.ids
        found, facts = self.instance(hold), {"uuid": self.uuid, "minor": self.minor, "index": self.index}
        template, default, count = self.id, "{uuid}", self.replicas
        if found:
            instance, part = found
            facts |= {"gi": instance.gi, "ci": part.ci, "mig_uuid": part.uuid}
            facts |= {"profile": instance.name_of(part)}
            template, default, count = instance.id, "{mig_uuid}", part.replicas
        template = template or (default if count == 1 else default + "::{replica}")
        ids = [template.format(**facts, replica=number) for number in hold.replicas]
        return tuple(dict.fromkeys(ids))
