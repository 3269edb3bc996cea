"""
Files that tell of resource claims on a node, parsed: pure.

The driver's checkpoint and the kubelet's state are private formats that have changed before, so only what is needed
is read, an entry that is not understood is left out, and a file that is none raises.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from gpucost_agent.sources.kubelet.device_ids import CLAIM_DRIVER

MigMinors: TypeAlias = Mapping[int, tuple[int, int, int]]
"""GPU minor, GPU instance and compute instance by the minor number of the compute instance's capability."""


@dataclass(frozen=True, slots=True)
class PreparedDevice:
    """A device that NVIDIA's driver prepared: a GPU, or with *mig* a MIG device by its UUID or its instances' ids."""

    name: str
    pool: str = ""
    gpu_uuid: str = ""
    mig: bool = False
    mig_uuid: str = ""
    gi: int | None = None
    ci: int | None = None
    passed_through: bool = False
    administrative: bool = False

    @property
    def names_device(self) -> bool:
        """Whether it says which device it is."""
        if self.mig:
            return bool(self.mig_uuid) or (bool(self.gpu_uuid) and None not in (self.gi, self.ci))
        return bool(self.gpu_uuid)


@dataclass(frozen=True, slots=True)
class PreparedClaim:
    """A claim in the driver's checkpoint, and the pods for which it is reserved as far as that is told."""

    uid: str
    namespace: str
    name: str
    pod_uids: tuple[str, ...]
    devices: tuple[PreparedDevice, ...]


@dataclass(frozen=True, slots=True)
class ManagedClaim:
    """A claim in the kubelet's state, and the pods that refer to it."""

    uid: str
    namespace: str
    name: str
    pod_uids: tuple[str, ...]
    has_gpus: bool


@dataclass(frozen=True, slots=True)
class CdiDevice:
    """A device of a CDI file: the minor numbers of its GPUs, and of the capabilities that go with MIG."""

    name: str
    minors: tuple[int, ...]
    capabilities: tuple[int, ...]


def parse_driver_checkpoint(text: str) -> tuple[PreparedClaim, ...]:
    """
    The claims that NVIDIA's driver has prepared, from its checkpoint.json, in any version that is known.

    Raises ValueError, KeyError, TypeError, AttributeError or RecursionError if it is no such file.
    """
    data = json.loads(text)
    versions = [data[key] for key in ("v2", "v1") if isinstance(data.get(key), Mapping)] or [data]
    found = []
    for uid, claim in (versions[0].get("preparedClaims") or {}).items():
        # The oldest checkpoints have the devices where later ones have the claim.
        entry: Mapping[str, Any] = claim if isinstance(claim, Mapping) else {"preparedDevices": claim}
        if entry.get("checkpointState") not in (None, "", "PrepareCompleted", "PrepareStarted"):
            continue
        status = entry.get("status") or {}
        found.append(
            PreparedClaim(
                str(uid),
                str(entry.get("namespace") or ""),
                str(entry.get("name") or ""),
                tuple(str(pod["uid"]) for pod in status.get("reservedFor") or () if pod.get("uid")),
                tuple(_prepared(entry.get("preparedDevices"), _administrative(status))),
            )
        )
    return tuple(found)


def parse_manager_state(text: str) -> tuple[ManagedClaim, ...]:
    """
    The claims of the kubelet's dra_manager_state: today a text of JSON inside of JSON, before that one level.

    Raises ValueError, KeyError, TypeError, AttributeError or RecursionError if it is no such file.
    """
    data = json.loads(text)
    if isinstance(data.get("Data"), str):
        data = json.loads(data["Data"])
    listed = next((data[key] for key in ("ClaimInfoStateList", "Entries", "entries") if key in data), None)
    return tuple(
        ManagedClaim(
            str(claim["ClaimUID"]),
            str(claim.get("Namespace") or ""),
            str(claim.get("ClaimName") or ""),
            tuple(str(uid) for uid in claim.get("PodUIDs") or ()),
            CLAIM_DRIVER in (claim.get("DriverState") or {}) or claim.get("DriverName") == CLAIM_DRIVER,
        )
        for claim in listed or ()
    )


_NODE = re.compile(r"path:\s*['\"]?/dev/(?:nvidia(?P<gpu>\d+)|nvidia-caps/nvidia-cap(?P<cap>\d+))['\"]?\s*,?")
_NAME = re.compile(r"name:\s*['\"]?(?P<name>[A-Za-z0-9_.:-]+)['\"]?\s*,?")


def parse_cdi(text: str) -> tuple[CdiDevice, ...]:
    """
    The devices of a CDI file of YAML or JSON, cut to what tells a GPU.

    Line by line and not by a YAML parser: these are the driver's own files, of which two fields are needed, and a
    parser that makes objects of all the mounts in them takes a hundred times as long. What is no such file raises
    ValueError, TypeError, AttributeError or RecursionError, or has no devices.
    """
    if text.lstrip().startswith("{"):
        return tuple(_cdi_from_json(json.loads(text)))
    return tuple(_cdi_from_lines(text.splitlines()))


def parse_mig_minors(text: str) -> dict[int, tuple[int, int, int]]:
    """
    What /proc/driver/nvidia-caps/mig-minors says of compute instances; its other lines are left out.

    Raises ValueError where a number in it has thousands of digits.
    """
    found = re.finditer(r"^gpu(\d+)/gi(\d+)/ci(\d+)/access (\d+)$", text, re.MULTILINE)
    return {int(line[4]): (int(line[1]), int(line[2]), int(line[3])) for line in found}


def _prepared(groups: Any, administrative: frozenset[str]) -> Iterator[PreparedDevice]:
    for group in groups or ():
        for entry in (group.get("devices") if isinstance(group, Mapping) else None) or ():
            kind = next((kind for kind in ("gpu", "mig", "vfio") if entry.get(kind)), None)
            if kind is None:
                continue
            held = entry[kind]
            device = held.get("device") or {}
            # v1 called what a MIG device is `info`, with the names that a MIG device has on its own.
            info = held.get("concrete") or held.get("info") or {}
            name = str(device.get("DeviceName") or "")
            yield PreparedDevice(
                name=name,
                pool=str(device.get("PoolName") or ""),
                gpu_uuid=str((info.get("parentUUID") if kind == "mig" else info.get("uuid")) or ""),
                mig=kind == "mig",
                mig_uuid=str(info.get("migUUID") or info.get("uuid") or "") if kind == "mig" else "",
                gi=_integer(info.get("giId")),
                ci=_integer(info.get("ciId")),
                passed_through=kind == "vfio",
                administrative=name in administrative,
            )


def _administrative(status: Mapping[str, Any]) -> frozenset[str]:
    """Names of devices that are claimed to look after them, beside whoever uses them."""
    results = ((status.get("allocation") or {}).get("devices") or {}).get("results") or ()
    return frozenset(str(entry.get("device")) for entry in results if entry.get("adminAccess"))


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _cdi_from_json(data: Mapping[str, Any]) -> Iterator[CdiDevice]:
    for device in data.get("devices") or ():
        nodes = (device.get("containerEdits") or {}).get("deviceNodes") or ()
        found = [_NODE.match(f"path: {node.get('path')}") for node in nodes]
        yield _cdi_device(str(device.get("name") or ""), [node for node in found if node])


def _cdi_from_lines(lines: list[str]) -> Iterator[CdiDevice]:
    inside, indent, name = False, -1, ""
    nodes: list[re.Match[str]] = []
    for line in lines:
        field = line.strip()
        depth = len(line) - len(line.lstrip())
        if not field or field.startswith("#"):
            continue
        if depth == 0 and not field.startswith("-"):
            if name:
                yield _cdi_device(name, nodes)
            inside, indent, name, nodes = field == "devices:", -1, "", []
            continue
        if not inside:
            continue
        begins = field.startswith("- ") and indent in (-1, depth)
        if begins:
            if name:
                yield _cdi_device(name, nodes)
            indent, name, nodes = depth, "", []
        field = field.removeprefix("- ").strip()
        level = depth + 2 if begins else depth
        if (found := _NAME.fullmatch(field)) and level == indent + 2:
            name = found["name"]
        elif found := _NODE.fullmatch(field):
            nodes.append(found)
    if name:
        yield _cdi_device(name, nodes)


def _cdi_device(name: str, nodes: list[re.Match[str]]) -> CdiDevice:
    return CdiDevice(
        name,
        tuple(dict.fromkeys(int(node["gpu"]) for node in nodes if node["gpu"])),
        tuple(dict.fromkeys(int(node["cap"]) for node in nodes if node["cap"])),
    )
