"""The files of the kubelet and of the DRA driver say what real ones say."""

import base64
import json
from pathlib import Path
from typing import Any

import yaml

from simnode.dra_files import mig_minors
from simnode.host_files import CLAIM_CHECKPOINT, DEVICE_CHECKPOINT, DRIVER_CHECKPOINT, HostFiles, contents
from simnode.kubelet_files import allocate_response
from simnode.scenario import load
from simnode.world import Node

SECOND = 1_000_000_000
A, B = (f"GPU-00000000-0000-0000-0000-00000000000{digit}" for digit in "ab")
M = "MIG-00000000-0000-0000-0000-000000000001"
HASH = "0123456789abcdef0123456789abcdef"

PLUGIN = f"""
name: small
clusters:
  - name: one
    nodes:
      - name: node-0
        kubelet: KUBELET
        gpus:
          - {{model: NVIDIA L4, uuid: {A}, replicas: 2}}
          - {{model: NVIDIA L4, uuid: {B}}}
        pods:
          - name: ends
            namespace: a
            uid: uid-of-ends
            end: 10s
            containers:
              - {{name: fetch, kind: init, end: 2s, gpus: [1]}}
              - {{name: main, start: 2s, gpus: [1], ids: [{{resource: x.com/y, id: z}}]}}
          - {{name: no-devices, namespace: a, start: 12s, containers: [{{name: main}}]}}
          - name: asks
            namespace: a
            uid: uid-of-asks
            start: 15s
            containers: [{{name: main, gpus: [{{gpu: 0, replicas: 2}}]}}]
          - name: static-node-0
            namespace: a
            start: 20s
            annotations: {{kubernetes.io/config.hash: {HASH}}}
            containers: [{{name: main, gpus: [1]}}]
"""

CLAIMS = f"""
name: small
clusters:
  - name: one
    nodes:
      - name: node-0
        kubelet: KUBELET
        gpus:
          - {{model: NVIDIA H100 80GB HBM3, uuid: {A}, minor: 3}}
          - model: NVIDIA H100 80GB HBM3
            uuid: {B}
            minor: 1
            mig:
              - {{at: 0s, instances: []}}
              - at: 5s
                instances:
                  - {{gi: 2, profile: 1g.10gb, profile_id: 19, start: 2, compute_instances: [{{ci: 0, uuid: {M}}}]}}
        claims:
          - {{name: both, namespace: a, uid: dab5ab50, devices: [{{gpu: 0}}, {{gpu: 1, gi: 2, made_for_it: true}}]}}
        pods:
          - {{name: one, namespace: a, uid: uid-of-one, start: 5s, end: 20s, containers: [{{name: x, claims: [both]}}]}}
          - {{name: two, namespace: a, uid: uid-of-two, start: 8s, end: 20s, containers: [{{name: x, claims: [both]}}]}}
"""


def node_of(folder: Path, text: str, kubelet: str = "{}") -> Node:
    file = folder / "small.yaml"
    file.write_text(text.replace("KUBELET", kubelet))
    return load(file, seed=7).cluster("one").node("node-0")


def checkpoint(node: Node, second: int) -> Any:
    return json.loads(contents(node, second * SECOND)[DEVICE_CHECKPOINT])


def owners(node: Node, second: int) -> list[tuple[str, str, str]]:
    entries = checkpoint(node, second)["Data"]["PodDeviceEntries"]
    return [(entry["PodUID"], entry["ContainerName"], entry["ResourceName"]) for entry in entries]


def test_the_checkpoint_has_init_containers_and_what_was_registered(tmp_path: Path) -> None:
    node = node_of(tmp_path, PLUGIN)
    assert owners(node, 1) == [
        ("uid-of-ends", "fetch", "nvidia.com/gpu"),
        ("uid-of-ends", "main", "nvidia.com/gpu"),
        ("uid-of-ends", "main", "x.com/y"),
    ]
    whole = checkpoint(node, 1)
    assert whole["Data"]["RegisteredDevices"] == {"nvidia.com/gpu": [f"{A}::0", f"{A}::1", B]}
    assert isinstance(whole["Checksum"], int)
    (entry, *_) = whole["Data"]["PodDeviceEntries"]
    assert entry["DeviceIDs"] == {"0": [B]}
    assert B.encode() in base64.b64decode(entry["AllocResp"])


def test_what_the_plugin_answered_is_written_as_a_real_checkpoint_has_it() -> None:
    assert allocate_response(["tegra"]) == "Ch8KFk5WSURJQV9WSVNJQkxFX0RFVklDRVMSBXRlZ3Jh"
    several = base64.b64decode(allocate_response([f"{A}::1", f"{A}::0", *("x" * 100, B)]))
    assert several.endswith(b",".join([A.encode(), B.encode(), b"x" * 100]))
    assert several[:3] == bytes([0x0A, len(several) - 3 & 0x7F | 0x80, len(several) - 3 >> 7])


def test_an_ended_pod_is_remembered_until_the_next_one_asks_for_devices(tmp_path: Path) -> None:
    node = node_of(tmp_path, PLUGIN)
    for second in (10, 12, 14):
        assert {uid for uid, _, _ in owners(node, second)} == {"uid-of-ends"}
    assert owners(node, 15) == [("uid-of-asks", "main", "nvidia.com/gpu")]
    assert checkpoint(node, 15)["Data"]["PodDeviceEntries"][0]["DeviceIDs"] == {"0": [f"{A}::0", f"{A}::1"]}


def test_a_static_pod_has_its_hash_for_a_uid(tmp_path: Path) -> None:
    assert (HASH, "main", "nvidia.com/gpu") in owners(node_of(tmp_path, PLUGIN), 20)


def test_ids_stand_at_each_numa_node(tmp_path: Path) -> None:
    node = node_of(tmp_path, PLUGIN, "{numa_nodes: 2}")
    assert checkpoint(node, 1)["Data"]["PodDeviceEntries"][0]["DeviceIDs"] == {"0": [B], "1": [B]}


def test_the_drivers_checkpoint_knows_devices_that_were_made_for_a_claim(tmp_path: Path) -> None:
    node = node_of(tmp_path, CLAIMS)
    assert json.loads(contents(node, 0)[DRIVER_CHECKPOINT])["v2"].get("preparedClaims", {}) == {}
    claim = json.loads(contents(node, 9 * SECOND)[DRIVER_CHECKPOINT])["v2"]["preparedClaims"]["dab5ab50"]
    assert (claim["namespace"], claim["name"], claim["checkpointState"]) == ("a", "both", "PrepareCompleted")
    whole, part = claim["preparedDevices"][0]["devices"]
    assert whole["gpu"]["info"]["uuid"] == A
    assert whole["gpu"]["device"] == {
        "Requests": ["request-0"],
        "PoolName": "node-0",
        "DeviceName": "gpu-3",
        "CDIDeviceIDs": ["k8s.gpu.nvidia.com/claim=dab5ab50-gpu-3"],
    }
    assert part["mig"]["concrete"] == {"parentMinor": 1, "giId": 2, "ciId": 0, "migUUID": M, "parentUUID": B}
    assert part["mig"]["device"]["DeviceName"] == "gpu-1-mig-1g10gb-19-2"
    # The driver saw the claim when the first pod came.
    assert [pod["uid"] for pod in claim["status"]["reservedFor"]] == ["uid-of-one"]


def test_the_kubelets_state_has_all_pods_of_a_claim(tmp_path: Path) -> None:
    node = node_of(tmp_path, CLAIMS)
    (claim,) = json.loads(json.loads(contents(node, 9 * SECOND)[CLAIM_CHECKPOINT])["Data"])[
        "ClaimInfoStateList"
    ]
    assert (claim["ClaimUID"], claim["Namespace"], claim["ClaimName"]) == ("dab5ab50", "a", "both")
    assert list(claim["PodUIDs"]) == ["uid-of-one", "uid-of-two"]
    devices = claim["DriverState"]["gpu.nvidia.com"]["Devices"]
    assert [(device["DeviceName"], device["RequestNames"]) for device in devices] == [
        ("gpu-3", ["request-0"]),
        ("gpu-1-mig-1g10gb-19-2", ["request-1"]),
    ]


def test_a_cdi_file_names_device_nodes_that_the_minors_tell_apart(tmp_path: Path) -> None:
    node = node_of(tmp_path, CLAIMS)
    spec = yaml.safe_load(contents(node, 9 * SECOND)["var/run/cdi/k8s.gpu.nvidia.com-claim_dab5ab50.yaml"])
    paths = {
        device["name"]: [one["path"] for one in device["containerEdits"]["deviceNodes"]]
        for device in spec["devices"]
    }
    assert spec["kind"] == "k8s.gpu.nvidia.com/claim"
    assert paths["dab5ab50-gpu-3"] == ["/dev/nvidia3"]
    of_part = paths["dab5ab50-gpu-1-mig-1g10gb-19-2"]
    minors = dict(line.split() for line in mig_minors(node).splitlines())
    assert of_part == [
        "/dev/nvidia1",
        f"/dev/nvidia-caps/nvidia-cap{minors['gpu1/gi2/access']}",
        f"/dev/nvidia-caps/nvidia-cap{minors['gpu1/gi2/ci0/access']}",
    ]


def test_minors_of_capabilities_are_those_of_every_driver(tmp_path: Path) -> None:
    lines = mig_minors(node_of(tmp_path, CLAIMS)).splitlines()
    assert lines[:5] == [
        "config 1",
        "monitor 2",
        "gpu0/gi0/access 3",
        "gpu0/gi0/ci0/access 4",
        "gpu0/gi0/ci1/access 5",
    ]
    assert "gpu0/gi1/access 12" in lines
    assert "gpu1/gi0/access 138" in lines
    assert len({line.split()[1] for line in lines}) == len(lines)


def test_each_file_can_be_missing(tmp_path: Path) -> None:
    cdi = "var/run/cdi/k8s.gpu.nvidia.com-claim_dab5ab50.yaml"
    everything = {DEVICE_CHECKPOINT, CLAIM_CHECKPOINT, DRIVER_CHECKPOINT, cdi}
    for kind, missing in (
        ("{}", set()),
        ("{checkpoint: false}", {DEVICE_CHECKPOINT, CLAIM_CHECKPOINT}),
        ("{dra_checkpoint: false}", {DRIVER_CHECKPOINT}),
        ("{cdi: false}", {cdi}),
    ):
        assert set(contents(node_of(tmp_path, CLAIMS, kind), 9 * SECOND)) == everything - missing
    assert set(contents(node_of(tmp_path, PLUGIN), 0)) == {DEVICE_CHECKPOINT}


def test_files_are_replaced_whole_when_something_changed_and_leave_with_their_claim(tmp_path: Path) -> None:
    node, host = node_of(tmp_path, CLAIMS), tmp_path / "host"
    stale = host / "var/run/cdi/stale.yaml"
    stale.parent.mkdir(parents=True)
    stale.touch()
    files = HostFiles(host, node)
    files.create(0)
    assert list(stale.parent.iterdir()) == []
    checkpoint_file = host / DRIVER_CHECKPOINT
    inode = checkpoint_file.stat().st_ino
    with checkpoint_file.open() as before:
        files.update(4 * SECOND)
        assert checkpoint_file.stat().st_ino == inode
        files.update(5 * SECOND)
        assert checkpoint_file.stat().st_ino != inode
        assert "dab5ab50" not in before.read()
    assert "dab5ab50" in checkpoint_file.read_text()
    inodes = [(host / path).stat().st_ino for path in (DRIVER_CHECKPOINT, CLAIM_CHECKPOINT)]
    files.update(8 * SECOND)
    again = [(host / path).stat().st_ino for path in (DRIVER_CHECKPOINT, CLAIM_CHECKPOINT)]
    assert [before == after for before, after in zip(inodes, again, strict=True)] == [True, False]
    assert checkpoint_file.stat().st_mode & 0o777 == 0o600
    (cdi,) = stale.parent.iterdir()
    assert cdi.stat().st_mode & 0o777 == 0o644
    files.update(20 * SECOND)
    assert list(stale.parent.iterdir()) == []
    assert list(checkpoint_file.parent.iterdir()) == [checkpoint_file]
