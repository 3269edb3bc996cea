"""
The kubelet's device ids, as the known device plugins write them: pure.

An id either has one of the anchored shapes below or is unmapped; nothing here guesses. What an id *says* and which
device that *is* are two steps, because ids name GPUs by UUID, by minor number, by NVML index or not at all.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gpucost.identity import Device

from gpucost_agent.readings import DeviceId, Gpu


class Shape(StrEnum):
    """What an id says. The kubelet's word is final only where nothing stands behind the comma."""

    GPU = "gpu"
    """A GPU by its UUID, or one time-slicing or MPS replica of it."""
    GPU_SLOT = "gpu_slot"
    """A slot of a GPU (HAMi, AWS, Volcano), but an annotation of the pod may name another GPU."""
    GPU_MEMORY = "gpu_memory"
    """A unit of a GPU's memory (Aliyun), but the GPU is the scheduler's, in an annotation."""
    MIG = "mig"
    """A MIG device by its UUID, or a replica or slot of it."""
    MIG_INSTANCE = "mig_instance"
    """A MIG device by its GPU's UUID and its instance ids, as drivers before R470 wrote it."""
    MINOR = "minor"
    """A GPU by its minor number (GKE, and NVIDIA's DRA driver), with its instance on a partitioned GPU."""
    MIG_PLACEMENT = "mig_placement"
    """A MIG device by its GPU's minor number and its place on it, as NVIDIA's DRA driver writes it."""
    INDEX = "index"
    """A GPU by its NVML index (Volcano), but an annotation of the pod may name another GPU."""
    ONLY = "only"
    """All GPUs of the node: WSL and Tegra."""
    PCI = "pci"
    """A PCI address: passed through to a virtual machine, so that the driver does not show it."""
    AMD = "amd"
    INTEL = "intel"
    UNMAPPED = "unmapped"


_NVIDIA_SHAPES = frozenset(
    {Shape.GPU, Shape.GPU_SLOT, Shape.GPU_MEMORY, Shape.MIG, Shape.MIG_INSTANCE, Shape.MINOR}
)
_OTHERS = frozenset({Shape.PCI, Shape.AMD, Shape.INTEL})
INDEX_RESOURCES = frozenset({"volcano.sh/gpu-memory", "volcano.sh/gpu-number"})
GPU_RESOURCES = INDEX_RESOURCES | {
    "nvidia.com/gpu",
    "k8s.amazonaws.com/vgpu",
    "volcano.sh/vgpu-number",
    "aliyun.com/gpu-mem",
    "tencent.com/vcuda-core",
    "tencent.com/vcuda-memory",
}
UNIT_RESOURCES = frozenset(
    {"aliyun.com/gpu-mem", "tencent.com/vcuda-core", "tencent.com/vcuda-memory", "volcano.sh/gpu-memory"}
)
"""
Resources whose ids are parts of some GPU (a GiB of its memory, a hundredth of its cores), not GPUs or replicas.

However many of them a container has, they are one GPU that nobody can name, not as many as there are ids: also where
one plugin gives units of several kinds.
"""
MIG_RESOURCE_PREFIX = "nvidia.com/mig-"
CLAIM_DRIVER = "gpu.nvidia.com"


@dataclass(frozen=True, slots=True)
class ParsedId:
    """What one device id says; None where it does not say."""

    shape: Shape
    gpu_uuid: str | None = None
    mig_uuid: str | None = None
    minor: int | None = None
    index: int | None = None
    gi: int | None = None
    ci: int | None = None
    profile: str | None = None
    placement: int | None = None
    replica: int | None = None


UNMAPPED = ParsedId(Shape.UNMAPPED)


@dataclass(frozen=True, slots=True)
class KnownGpus:
    """What the driver shows: its GPUs, and its MIG devices by their UUIDs."""

    gpus: tuple[Gpu, ...] = ()
    mig: Mapping[str, Device] = field(default_factory=dict)

    def whole(self, matches: Callable[[Gpu], bool]) -> Device | None:
        """The one GPU for which *matches* holds; None if there is none, or more than one."""
        found = [gpu for gpu in self.gpus if matches(gpu)]
        return Device(found[0].uuid) if len(found) == 1 else None

    def instance(self, matches: Callable[[Device], bool]) -> Device | None:
        """The one MIG device for which *matches* holds; None if there is none, or more than one."""
        found = {device for device in self.mig.values() if matches(device)}
        return found.pop() if len(found) == 1 else None


_U = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
_SUFFIX = r"(?:::(?P<replica>\d*)|-(?P<slot>\d+))?"
_SHAPES = (
    (
        Shape.MIG_INSTANCE,
        re.compile(rf"MIG-GPU-(?P<gpu>{_U})/(?P<gi>\d+)/(?P<ci>\d+)(?:::(?P<replica>\d*))?"),
    ),
    (Shape.MIG, re.compile(rf"MIG-(?P<mig>{_U}){_SUFFIX}")),
    (Shape.GPU_MEMORY, re.compile(rf"GPU-(?P<gpu>{_U})-_-(?P<slot>\d+)")),
    (Shape.GPU, re.compile(rf"GPU-(?P<gpu>{_U}){_SUFFIX}")),
    (Shape.MINOR, re.compile(r"nvidia(?P<minor>\d+)(?:/gi(?P<gi>\d+))?(?:/vgpu(?P<replica>\d+))?")),
    (Shape.PCI, re.compile(r"(?:[0-9a-fA-F]{4}){1,2}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]")),
    (Shape.AMD, re.compile(r"amdgpu_xcp_\d+")),
    (Shape.INTEL, re.compile(r"card\d+-\d+")),
)
_LONGEST_ID = 256
"""No plugin's is half as long; int() refuses a number of thousands of digits."""

_INDEX = re.compile(r"(?P<index>\d+)(?P<part>:\d+)?(?:-(?P<slot>\d+))?")
_CLAIM_GPU = re.compile(r"gpu-(?P<minor>\d+)")
_CLAIM_MIG = re.compile(
    r"gpu-(?P<minor>\d+)-mig-(?P<profile>(?:\d+c)?\d+g\d+gb(?:-[a-z][a-z-]*)?)-\d+-(?P<placement>\d+)"
)
_CLAIM_MIG_OLD = re.compile(r"gpu-(?P<minor>\d+)-mig-\d+-(?P<placement>\d+)-\d+")


def parse(resource: str, raw: str, extra_resources: Collection[str] = ()) -> ParsedId:
    """
    What a device plugin's id says, by its shape; *resource* matters to bare indices only.

    *extra_resources* are names of further resources that an administrator calls GPUs.
    """
    if len(raw) > _LONGEST_ID:
        return UNMAPPED
    for shape, pattern in _SHAPES:
        if found := pattern.fullmatch(raw):
            return _parsed(shape, found.groupdict())
    if (resource in INDEX_RESOURCES or resource in extra_resources) and (found := _INDEX.fullmatch(raw)):
        # A bare number is an index only where the producer is known to write indices; a part of an index is a
        # MIG device by a numbering that is not the driver's.
        return UNMAPPED if found["part"] else _parsed(Shape.INDEX, found.groupdict())
    if raw in ("all", "tegra"):
        return ParsedId(Shape.ONLY)
    return UNMAPPED


def parse_claim_device(name: str) -> ParsedId:
    """What a device name of NVIDIA's DRA driver says."""
    if len(name) > _LONGEST_ID:
        return UNMAPPED
    if found := _CLAIM_GPU.fullmatch(name):
        return ParsedId(Shape.MINOR, minor=int(found["minor"]))
    if found := _CLAIM_MIG.fullmatch(name):
        minor, placement = int(found["minor"]), int(found["placement"])
        return ParsedId(Shape.MIG_PLACEMENT, minor=minor, profile=found["profile"], placement=placement)
    if found := _CLAIM_MIG_OLD.fullmatch(name):
        minor, placement = int(found["minor"]), int(found["placement"])
        return ParsedId(Shape.MIG_PLACEMENT, minor=minor, placement=placement)
    return UNMAPPED


def counts(resource: str, parsed: ParsedId, extra_resources: Collection[str] = ()) -> bool:
    """
    Whether an id is of an NVIDIA GPU: by the name of its resource, or by its own shape under any name.

    GPUs that are passed through to virtual machines do not count, as the driver does not show them.
    """
    if parsed.shape in _OTHERS:
        return False
    # NVIDIA's plugin adds .shared to the name of what it gives out in replicas.
    name = resource.removesuffix(".shared")
    return (
        name in GPU_RESOURCES
        or name in extra_resources
        or resource in extra_resources
        or name.startswith(MIG_RESOURCE_PREFIX)
        or parsed.shape in _NVIDIA_SHAPES
    )


def resolve(parsed: ParsedId, known: KnownGpus) -> Device | None:
    """The device that an id names; None where it names none that the driver shows, or more than one."""
    match parsed.shape:
        case Shape.GPU | Shape.GPU_SLOT:
            return known.whole(lambda gpu: gpu.uuid == parsed.gpu_uuid)
        case Shape.MIG:
            return known.mig.get(parsed.mig_uuid or "")
        case Shape.MIG_INSTANCE:
            return _instance(parsed, parsed.gpu_uuid, known)
        case Shape.MINOR | Shape.MIG_PLACEMENT:
            gpu = known.whole(lambda gpu: gpu.minor == parsed.minor)
            if gpu is None or (parsed.gi is None and parsed.placement is None):
                return gpu
            return _instance(parsed, gpu.gpu_uuid, known)
        case Shape.INDEX:
            return known.whole(lambda gpu: gpu.index == parsed.index)
        case Shape.ONLY:
            return known.whole(lambda _: True)
    return None


def device_id(
    resource: str, raw: str, known: KnownGpus, extra_resources: Collection[str] = ()
) -> DeviceId | None:
    """An id of a device plugin, resolved; None if it is not of an NVIDIA GPU."""
    parsed = parse(resource, raw, extra_resources)
    if not counts(resource, parsed, extra_resources):
        return None
    return DeviceId(resource, raw, resolve(parsed, known), parsed.replica)


def device_ids(
    ids: Iterable[tuple[str, str]], known: KnownGpus, extra_resources: Collection[str] = ()
) -> tuple[DeviceId, ...]:
    """
    The GPUs among a container's resources and ids, each once, in the order given.

    A kubelet repeats an id for each NUMA node of its device. Ids that are parts of GPUs and name no GPU stand for
    one that can not be named: the first of them is kept.
    """
    found: dict[tuple[str, str], DeviceId] = {}
    for resource, raw in ids:
        entry = device_id(resource, raw, known, extra_resources)
        if entry is not None:
            nameless = entry.device is None and resource in UNIT_RESOURCES
            found.setdefault((resource.partition("/")[0], "") if nameless else (resource, raw), entry)
    return tuple(found.values())


def _parsed(shape: Shape, groups: Mapping[str, str | None]) -> ParsedId:
    slot = _number(groups.get("slot"))
    if shape is Shape.GPU and slot is not None:
        shape = Shape.GPU_SLOT
    gpu, mig, gi = groups.get("gpu"), groups.get("mig"), _number(groups.get("gi"))
    return ParsedId(
        shape=shape,
        # The driver writes UUIDs in lower case.
        gpu_uuid=None if gpu is None else f"GPU-{gpu.lower()}",
        mig_uuid=None if mig is None else f"MIG-{mig.lower()}",
        minor=_number(groups.get("minor")),
        index=_number(groups.get("index")),
        gi=gi,
        # GKE has one compute instance in each GPU instance, and leaves it out.
        ci=0 if shape is Shape.MINOR and gi is not None else _number(groups.get("ci")),
        replica=_number(groups.get("replica")) if slot is None else slot,
    )


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def in_claims_spelling(profile: str) -> str:
    """A profile as NVIDIA's DRA driver spells it in names: 1g10gb-me for 1g.10gb+me."""
    return re.sub(r"[^a-z0-9-]", "-", profile.lower().replace(".", ""))


def _instance(parsed: ParsedId, gpu_uuid: str | None, known: KnownGpus) -> Device | None:
    def matches(device: Device) -> bool:
        said = (
            (parsed.gi, device.gi),
            (parsed.ci, device.ci),
            (parsed.profile, in_claims_spelling(device.profile)),
            (parsed.placement, device.placement),
        )
        return device.gpu_uuid == gpu_uuid and all(want is None or want == has for want, has in said)

    return known.instance(matches)
