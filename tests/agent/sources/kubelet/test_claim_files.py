"""Files of resource claims, in the forms that drivers and kubelets were seen to write."""

import json
from typing import Any

import pytest

from gpucost_agent.sources.kubelet.claim_files import (
    CdiDevice,
    ManagedClaim,
    PreparedClaim,
    PreparedDevice,
    parse_cdi,
    parse_driver_checkpoint,
    parse_manager_state,
    parse_mig_minors,
)

CLAIM = "dab5ab50-d59a-42a6-af16-cfd4628c0f7a"
GPU = "GPU-e04ce2a0-21a4-b68c-854a-f5c0d26bfc0b"
MIG = "MIG-c73ab1c4-6cb7-59b6-be7e-21c4ac35c3b6"


def device(name: str, pool: str = "node-0") -> dict[str, Any]:
    return {"Requests": ["r"], "PoolName": pool, "DeviceName": name, "CDIDeviceIDs": []}


def whole(name: str = "gpu-0", uuid: str = GPU) -> dict[str, Any]:
    return {"gpu": {"info": {"uuid": uuid}, "device": device(name)}, "mig": None}


def group(*devices: Any) -> list[dict[str, Any]]:
    return [{"devices": list(devices), "configState": {"type": ""}}]


def test_the_drivers_checkpoint_of_today() -> None:
    mig = {
        "concrete": {"parentMinor": 0, "giId": 3, "ciId": 0, "migUUID": MIG, "parentUUID": GPU},
        "device": device("gpu-0-mig-1g6gb-14-0"),
    }
    status = {
        "reservedFor": [{"resource": "pods", "name": "p", "uid": "u1"}],
        "allocation": {
            "devices": {"results": [{"device": "gpu-1", "adminAccess": True}, {"device": "gpu-0"}]}
        },
    }
    claim = {
        "checkpointState": "PrepareCompleted",
        "status": status,
        "preparedDevices": group(
            whole(),
            whole("gpu-1"),
            {"gpu": None, "mig": mig},
            {"gpu": None, "mig": None, "vfio": {"info": {"uuid": GPU}, "device": device("gpu-vfio-0")}},
        ),
        "name": "c",
        "namespace": "ns",
    }
    text = json.dumps({"version": "v2", "checksum": 1, "v1": {}, "v2": {"preparedClaims": {CLAIM: claim}}})
    assert parse_driver_checkpoint(text) == (
        PreparedClaim(
            CLAIM,
            "ns",
            "c",
            ("u1",),
            (
                PreparedDevice("gpu-0", "node-0", GPU),
                PreparedDevice("gpu-1", "node-0", GPU, administrative=True),
                PreparedDevice("gpu-0-mig-1g6gb-14-0", "node-0", GPU, True, MIG, 3, 0),
                PreparedDevice("gpu-vfio-0", "node-0", GPU, passed_through=True),
            ),
        ),
    )


def test_the_drivers_checkpoint_before_it_knew_claims_by_name() -> None:
    info = {"uuid": MIG, "profile": "1g.6gb", "parentUUID": GPU, "profileId": 14, "giId": 3, "ciId": 0}
    claim = {
        "status": {},
        "preparedDevices": group({"gpu": None, "mig": {"info": info, "device": device("m")}}),
    }
    expected = (PreparedDevice("m", "node-0", GPU, True, MIG, 3, 0),)
    for data in ({"v1": {"preparedClaims": {CLAIM: claim}}}, {"preparedClaims": {CLAIM: claim}}):
        assert parse_driver_checkpoint(json.dumps(data)) == (PreparedClaim(CLAIM, "", "", (), expected),)


def test_claims_without_anything_are_claims() -> None:
    text = json.dumps(
        {"v2": {"preparedClaims": {CLAIM: {"checkpointState": "PrepareStarted"}, "x": group(whole())}}}
    )
    first, second = parse_driver_checkpoint(text)
    assert first == PreparedClaim(CLAIM, "", "", (), ())
    assert second.devices == (PreparedDevice("gpu-0", "node-0", GPU),)
    assert parse_driver_checkpoint('{"checksum":1,"v1":{},"v2":{"checksum":1}}') == ()


@pytest.mark.parametrize(
    ("prepared", "names"),
    [
        (PreparedDevice("x", gpu_uuid=GPU), True),
        (PreparedDevice("x"), False),
        (PreparedDevice("x", mig=True, mig_uuid=MIG), True),
        (PreparedDevice("x", gpu_uuid=GPU, mig=True, gi=3, ci=0), True),
        (PreparedDevice("x", gpu_uuid=GPU, mig=True, gi=3), False),
    ],
)
def test_a_prepared_device_says_which_it_is_or_not(prepared: PreparedDevice, names: bool) -> None:
    assert prepared.names_device is names


STATE = {
    "ClaimUID": CLAIM,
    "ClaimName": "c",
    "Namespace": "ns",
    "PodUIDs": {"u1": {}, "u2": {}},
    "DriverState": {"gpu.nvidia.com": {"Devices": []}},
}


def test_the_kubelets_state_of_claims_in_its_two_forms() -> None:
    expected = (ManagedClaim(CLAIM, "ns", "c", ("u1", "u2"), True),)
    for key in ("ClaimInfoStateList", "Entries"):
        inner = json.dumps({"kind": "DRACheckpoint", key: [STATE]})
        assert parse_manager_state(json.dumps({"Data": inner, "Checksum": 1})) == expected
    before = {**STATE, "DriverName": "gpu.nvidia.com", "DriverState": None}
    assert parse_manager_state(json.dumps({"version": "v1", "entries": [before], "checksum": 1})) == expected
    other = {**STATE, "DriverState": {"gpu.example.com": {}}, "PodUIDs": None}
    assert parse_manager_state(json.dumps({"entries": [other]})) == (
        ManagedClaim(CLAIM, "ns", "c", (), False),
    )
    assert parse_manager_state('{"version":"v1","checksum":1}') == ()


# As the driver's CDI library writes it: keys in alphabetical order, lists as deep as their key.
CDI_YAML = f"""---
cdiVersion: 0.7.0
containerEdits:
  deviceNodes:
  - path: /dev/nvidia9
  hooks:
  - args: [nvidia-cdi-hook, update-ldcache]
    hookName: createContainer
    path: /usr/bin/nvidia-cdi-hook
devices:
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia1
    - path: /dev/dri/card1
    - hostPath: /dev/nvidia7
      path: "/dev/nvidia-caps/nvidia-cap30"
    - path: /dev/nvidia-caps/nvidia-cap31
    env:
    - name: not-the-devices
  name: {CLAIM}-gpu-1-mig-1g6gb-14-0
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
      major: 195
  name: '{CLAIM}-gpu-0'
kind: k8s.gpu.nvidia.com/claim
"""

CDI_NAME_FIRST = f"""
devices:
  # two deep
  - name: {CLAIM}-gpu-1-mig-1g6gb-14-0
    containerEdits:
      deviceNodes:
        - path: /dev/nvidia1
        - path: /dev/nvidia-caps/nvidia-cap30
        - path: /dev/nvidia-caps/nvidia-cap31
      env:
        - name: not-the-devices
  - name: {CLAIM}-gpu-0
    containerEdits:
      deviceNodes:
        - path: /dev/nvidia0
"""


def edits(*paths: str) -> dict[str, Any]:
    return {"deviceNodes": [{"path": path} for path in paths]}


CDI_JSON = json.dumps(
    {
        "containerEdits": edits("/dev/nvidia9"),
        "devices": [
            {
                "name": f"{CLAIM}-gpu-1-mig-1g6gb-14-0",
                "containerEdits": edits(
                    "/dev/nvidia1", "/dev/nvidia-caps/nvidia-cap30", "/dev/nvidia-caps/nvidia-cap31"
                ),
            },
            {"name": f"{CLAIM}-gpu-0", "containerEdits": edits("/dev/nvidia0", "/dev/nvidiactl")},
        ],
    }
)


@pytest.mark.parametrize("text", [CDI_YAML, CDI_NAME_FIRST, CDI_JSON], ids=["yaml", "name first", "json"])
def test_device_nodes_of_a_cdi_file(text: str) -> None:
    assert parse_cdi(text) == (
        CdiDevice(f"{CLAIM}-gpu-1-mig-1g6gb-14-0", (1,), (30, 31)),
        CdiDevice(f"{CLAIM}-gpu-0", (0,), ()),
    )


@pytest.mark.parametrize("text", ["", "x", "- a\n- b\n", "devices:\n", "devices: []\n", "{}"])
def test_a_cdi_file_without_devices(text: str) -> None:
    assert parse_cdi(text) == ()


def test_capabilities_of_compute_instances() -> None:
    text = "config 1\nmonitor 2\ngpu0/gi0/access 3\ngpu0/gi0/ci0/access 4\ngpu12/gi3/ci1/access 4711\n"
    assert parse_mig_minors(text) == {4: (0, 0, 0), 4711: (12, 3, 1)}
