"""
How a GPU is partitioned, look after look.

Each look asks for the mode and for which compute instances are there; all of it is read anew when those changed, and
every few seconds, as one can be made anew under its old numbers between two looks.
"""

from collections.abc import Iterable, Mapping

from gpucost.identity import Device

from gpucost_agent.readings import WHOLE, ComputeInstance, GpuInstance, Partition
from gpucost_agent.sources.driver.driver_calls import (
    Calls,
    DriverTrouble,
    RawCompute,
    RawInstance,
    RawMig,
    RawProfile,
    Why,
)
from gpucost_agent.sources.driver.look import Look, What

_EVERY_NS = 10_000_000_000


class PartitionReader:
    """Reads how one GPU is partitioned, for one thread."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._profiles: list[RawProfile] = []
        self._memory_total = 0
        self._partition: Partition | None = WHOLE
        self._due_ns = 0
        self._refused: tuple[RawMig, ...] | None = None
        self.mig = False
        """Whether the GPU was in MIG mode, when that was last known."""
        self.devices: tuple[RawMig, ...] = ()
        """The compute instances that were last seen."""

    def doubt(self) -> None:
        """Something that the partition named was not there: the next look reads all of it."""
        self._due_ns = 0

    def read(self, look: Look) -> Partition | None:
        """The partition; the same object while it is the same. None with a trouble where it is not known."""
        try:
            self.mig = look.supported(What.PARTITION, self._calls.mig_mode)
        except DriverTrouble as trouble:
            if trouble.why is not Why.NOT_SUPPORTED:
                look.name(What.PARTITION, trouble)
                return None
            self.mig = False
        if not self.mig:
            self._partition, self.devices, self._due_ns, self._refused = WHOLE, (), 0, None
            return WHOLE
        try:
            devices = self._calls.mig_devices()
            if devices != self.devices or look.began.monotonic_ns >= self._due_ns:
                self.devices = devices
                self._learn(look, self._whole_partition())
        except DriverTrouble as trouble:
            self._learn(look, None)
            self._complain(look, trouble)
        return self._partition

    def _learn(self, look: Look, partition: Partition | None) -> None:
        if partition is None or partition != self._partition:
            self._partition = partition
        if partition is not None:
            self._refused = None
        self._due_ns = look.began.monotonic_ns + _EVERY_NS

    def _complain(self, look: Look, trouble: DriverTrouble) -> None:
        if trouble.why is Why.NO_PERMISSION:
            # It will not be given by asking: once for each partition is enough.
            if self._refused == self.devices:
                return
            self._refused = self.devices
        else:
            self._due_ns = 0
        look.name(What.PARTITION, trouble)

    def _whole_partition(self) -> Partition:
        try:
            return self._enumerate()
        except DriverTrouble as trouble:
            if trouble.why not in (Why.STALE_HANDLE, Why.NOTHING):
                raise
        # It changed while it was read.
        self.devices = self._calls.mig_devices()
        return self._enumerate()

    def _enumerate(self) -> Partition:
        if not self._profiles:
            profiles = self._calls.profiles()
            if not profiles:
                raise DriverTrouble(Why.FAILED, "the driver names no profile of a GPU in MIG mode")
            largest = max(profiles, key=lambda profile: (profile.compute_slices, profile.memory_mib))
            self._memory_total = self._calls.memory_slices(largest.profile_id)
            self._profiles = profiles
        parts = {
            (device.gi, device.ci): self._calls.compute_instance(device.gi, device.ci)
            for device in self.devices
        }
        instances = gpu_instances(self._raw_instances(), self._profiles, parts)
        compute_total = max(profile.compute_slices for profile in self._profiles)
        sizes = [part.compute_slices for part in parts.values()] + [compute_total, self._memory_total]
        if min(sizes) < 1:
            raise DriverTrouble(Why.FAILED, "the driver says that an instance, or the GPU, has no slices")
        return Partition(True, instances, compute_total, self._memory_total)

    def _raw_instances(self) -> list[RawInstance]:
        try:
            return [instance for profile in self._profiles for instance in self._calls.gpu_instances(profile)]
        except DriverTrouble as trouble:
            if trouble.why not in (Why.NO_PERMISSION, Why.NOT_SUPPORTED):
                raise
        # Those without compute instances stay unknown, and can not be held anyway.
        return [self._calls.gpu_instance(gi) for gi in sorted({device.gi for device in self.devices})]


def gpu_instances(
    raw: Iterable[RawInstance], profiles: Iterable[RawProfile], parts: Mapping[tuple[int, int], RawCompute]
) -> tuple[GpuInstance, ...]:
    """
    The GPU instances with their compute instances, by number.

    Raises STALE_HANDLE where the rows do not fit together, as the partition changed between them.
    """
    by_id = {profile.profile_id: profile for profile in profiles}
    found = {instance.gi: instance for instance in raw}
    if not {gi for gi, _ in parts} <= found.keys():
        raise DriverTrouble(Why.STALE_HANDLE, "a compute instance is of a GPU instance that is not there")
    instances = []
    for gi in sorted(found):
        instance = found[gi]
        profile = by_id.get(instance.profile_id)
        if profile is None:
            raise DriverTrouble(
                Why.FAILED, f"GPU instance {gi} has the unknown profile {instance.profile_id}"
            )
        own = sorted((ci, part) for (its, ci), part in parts.items() if its == gi)
        compute = tuple(ComputeInstance(ci, part.uuid, part.compute_slices) for ci, part in own)
        instances.append(
            GpuInstance(gi, profile.name, instance.start, profile.compute_slices, instance.size, compute)
        )
    return tuple(instances)


def mig_devices(gpu_uuid: str, partition: Partition) -> dict[str, Device]:
    """The MIG devices of a GPU by their UUIDs."""
    return {
        part.uuid: Device(gpu_uuid, instance.gi, part.ci, instance.profile, instance.placement)
        for instance in partition.instances
        for part in instance.parts
    }
