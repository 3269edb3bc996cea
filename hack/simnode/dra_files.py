"""What NVIDIA's DRA driver keeps on the host's disk, and how the kernel numbers capabilities. Pure."""

from __future__ import annotations

import json
from typing import Any

import yaml

from simnode.dra_claims import CDI_KIND, DRIVER, PreparedClaim, PreparedDevice
from simnode.kubelet_files import checksum
from simnode.world import Node

# How the driver deals out minors of /dev/nvidia-caps, whether a partition exists or not.
FIRST_CAPABILITY = 3
COMPUTE_INSTANCES = 8
CAPABILITIES_OF_AN_INSTANCE = 1 + COMPUTE_INSTANCES
GPU_INSTANCES = 15
MINORS_LISTED = 32


def driver_checkpoint(node: Node, claims: list[PreparedClaim]) -> str:
    """checkpoint.json with the version before, without which a driver could not be downgraded."""
    v1, v2 = {}, {}
    for claim in claims:
        # The driver looks at a claim once: pods that came to it later are missing here.
        status = {
            "allocation": {"devices": {"results": [_result(node, device) for device in claim.devices]}},
            "reservedFor": [{"resource": "pods", "name": pod.name, "uid": pod.uid} for pod in claim.first],
        }
        devices = [_prepared(node, claim, device) for device in claim.devices]
        groups = [{"devices": devices, "configState": {"type": "", "containerEdits": None}}]
        v1[claim.claim.uid] = {"status": status, "preparedDevices": groups}
        v2[claim.claim.uid] = {
            "checkpointState": "PrepareCompleted",
            **v1[claim.claim.uid],
            "name": claim.claim.name,
            "namespace": claim.claim.namespace,
        }
    older: dict[str, Any] = {"preparedClaims": v1} if v1 else {}
    newer: dict[str, Any] = {"preparedClaims": v2} if v2 else {}
    whole = {"checksum": checksum(older), "v1": older, "v2": {"checksum": checksum(newer), **newer}}
    return json.dumps(whole, separators=(",", ":"))


def cdi_file_name(claim: PreparedClaim) -> str:
    return f"k8s.{DRIVER}-claim_{claim.claim.uid}.yaml"


def cdi_file(claim: PreparedClaim) -> str:
    """A container that gets one of these devices gets these device nodes."""
    devices = [
        {"name": device.cdi_name, "containerEdits": {"deviceNodes": [{"path": p} for p in nodes(device)]}}
        for device in claim.devices
    ]
    spec = {
        "cdiVersion": "0.5.0",
        "kind": CDI_KIND,
        "devices": devices,
        "containerEdits": {"deviceNodes": [{"path": "/dev/nvidiactl"}, {"path": "/dev/nvidia-uvm"}]},
    }
    return "---\n" + yaml.safe_dump(spec, sort_keys=False)


def nodes(device: PreparedDevice) -> list[str]:
    found = [f"/dev/nvidia{device.engine.gpu.minor}"]
    if device.engine.instance is not None and device.engine.compute is not None:
        of_instance = capability(device.engine.gpu.minor, device.engine.instance.gi)
        numbers = (of_instance, of_instance + 1 + device.engine.compute.ci)
        found += [f"/dev/nvidia-caps/nvidia-cap{number}" for number in numbers]
    return found


def capability(gpu_minor: int, gi: int) -> int:
    """The minor of a GPU instance's capability; those of its compute instances follow."""
    return FIRST_CAPABILITY + (gpu_minor * GPU_INSTANCES + gi) * CAPABILITIES_OF_AN_INSTANCE


def mig_minors(node: Node) -> str:
    """/proc/driver/nvidia-caps/mig-minors: every capability that there could be, on every host."""
    lines = ["config 1", "monitor 2"]
    for minor in range(max([MINORS_LISTED, *(gpu.minor + 1 for gpu in node.gpus)])):
        for gi in range(GPU_INSTANCES):
            number = capability(minor, gi)
            lines.append(f"gpu{minor}/gi{gi}/access {number}")
            lines += [f"gpu{minor}/gi{gi}/ci{ci}/access {number + 1 + ci}" for ci in range(COMPUTE_INSTANCES)]
    return "\n".join(lines) + "\n"


def _result(node: Node, device: PreparedDevice) -> dict[str, str]:
    return {"request": device.request, "driver": DRIVER, "pool": node.name, "device": device.name}


def _prepared(node: Node, claim: PreparedClaim, device: PreparedDevice) -> dict[str, Any]:
    given: dict[str, Any] = {
        "Requests": [device.request],
        "PoolName": node.name,
        "DeviceName": device.name,
        "CDIDeviceIDs": [device.cdi_id],
    }
    if claim.claim.share_id:
        given["ShareID"] = claim.claim.share_id
    gpu, instance, compute = device.engine.gpu, device.engine.instance, device.engine.compute
    if instance is None or compute is None:
        return {"gpu": {"info": {"uuid": gpu.uuid}, "device": given}, "mig": None}
    concrete = {
        "parentMinor": gpu.minor,
        "giId": instance.gi,
        "ciId": compute.ci,
        "migUUID": compute.uuid,
        "parentUUID": gpu.uuid,
    }
    return {"gpu": None, "mig": {"concrete": concrete, "device": given}}
