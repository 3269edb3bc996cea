"""What a kubelet keeps of its allocations on the host's disk. Pure; host_files.py writes it."""

from __future__ import annotations

import base64
import json
import zlib
from collections import defaultdict
from typing import Any

from simnode import device_plugin
from simnode.dra_claims import DRIVER, PreparedClaim
from simnode.kubelet_answers import devices
from simnode.pod_life import host_uid
from simnode.world import Container, Node, Pod

VISIBLE_DEVICES = "NVIDIA_VISIBLE_DEVICES"


def device_checkpoint(node: Node, now_ns: int) -> str:
    """
    kubelet_internal_checkpoint: who was allocated what, init containers too.

    The kubelet forgets a pod that has ended only when it next admits one that asks for devices.
    """
    entries = [
        entry
        for pod in _remembered(node, now_ns)
        for container in pod.containers
        for entry in _entries(node, pod, container)
    ]
    registered = defaultdict(list)
    for device in device_plugin.advertised(node, now_ns):
        registered[device.resource].append(device.id)
    data = {"PodDeviceEntries": entries, "RegisteredDevices": registered}
    return json.dumps({"Data": data, "Checksum": checksum(data)}, separators=(",", ":"))


def claim_checkpoint(node: Node, claims: list[PreparedClaim]) -> str:
    """dra_manager_state: the one place on a host that says for which request a device was given."""
    entries = [
        {
            "ClaimUID": claim.claim.uid,
            "ClaimName": claim.claim.name,
            "Namespace": claim.claim.namespace,
            "PodUIDs": {host_uid(pod): {} for pod in claim.pods},
            "DriverState": {DRIVER: {"Devices": [_state(node, claim, i) for i in range(len(claim.devices))]}},
        }
        for claim in claims
    ]
    data = json.dumps(
        {
            "kind": "DRACheckpoint",
            "apiVersion": "checkpoint.dra.kubelet.k8s.io/v1",
            "ClaimInfoStateList": entries,
        },
        separators=(",", ":"),
    )
    return json.dumps({"Data": data, "Checksum": zlib.crc32(data.encode())}, separators=(",", ":"))


def checksum(data: Any) -> int:
    """FNV-1a of the JSON text; the real one is taken of Go's way to print a structure, which nobody checks."""
    found = 0x811C9DC5
    for byte in json.dumps(data, separators=(",", ":")).encode():
        found = (found ^ byte) * 0x01000193 & 0xFFFF_FFFF
    return found


def _remembered(node: Node, now_ns: int) -> list[Pod]:
    admissions = [pod.start_ns for pod in node.pods if pod.start_ns <= now_ns and _asks(node, pod)]
    last_ns = max(admissions, default=now_ns)
    return [
        pod for pod in node.pods if pod.start_ns <= now_ns and ((end := pod.last_ns) is None or last_ns < end)
    ]


def _asks(node: Node, pod: Pod) -> bool:
    return any(devices(node, container) for container in pod.containers)


def _entries(node: Node, pod: Pod, container: Container) -> list[dict[str, Any]]:
    by_resource: dict[str, list[str]] = defaultdict(list)
    for device in devices(node, container):
        by_resource[device.resource].append(device.id)
    return [
        {
            "PodUID": host_uid(pod),
            "ContainerName": container.name,
            "ResourceName": resource,
            "DeviceIDs": {str(numa_node): ids for numa_node in range(node.kubelet.numa_nodes)},
            "AllocResp": allocate_response(ids),
        }
        for resource, ids in by_resource.items()
    ]


def allocate_response(ids: list[str]) -> str:
    """A ContainerAllocateResponse with one environment variable, as NVIDIA's plugin answers."""
    visible = ",".join(sorted({id_.partition("::")[0] for id_ in ids}))
    entry = _field(1, VISIBLE_DEVICES.encode()) + _field(2, visible.encode())
    return base64.b64encode(_field(1, entry)).decode()


def _field(number: int, content: bytes) -> bytes:
    length, head = len(content), bytes([number << 3 | 2])
    while length > 0x7F:
        head += bytes([length & 0x7F | 0x80])
        length >>= 7
    return head + bytes([length]) + content


def _state(node: Node, claim: PreparedClaim, index: int) -> dict[str, Any]:
    device = claim.devices[index]
    state: dict[str, Any] = {
        "PoolName": node.name,
        "DeviceName": device.name,
        "RequestNames": [device.request],
        "CDIDeviceIDs": [device.cdi_id],
    }
    if claim.claim.share_id:
        state["ShareID"] = claim.claim.share_id
    return state
