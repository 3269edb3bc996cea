"""Which device a claimed one is, from a host's files."""

import json
from pathlib import Path
from typing import Any

import pytest
from gpucost.identity import Device

from gpucost_agent.readings import DeviceId, Gpu
from gpucost_agent.sources.kubelet.claims import ClaimFiles, ListedDevice
from gpucost_agent.sources.kubelet.device_ids import KnownGpus

DRIVER = "gpu.nvidia.com"
CLAIM = "dab5ab50-d59a-42a6-af16-cfd4628c0f7a"
A = "GPU-5a5a7118-e550-79a1-597e-7631e126c57a"
B = "GPU-a810a1fc-9f46-0e6f-5cef-bf34c2248e12"
MIG = "MIG-42f0f413-f7b0-58cc-aced-c1d1fb54db26"
EARLIER_MIG = "MIG-11111111-f7b0-58cc-aced-c1d1fb54db26"
ON_A = Device(A, 3, 0, "1g.10gb", 6)
KNOWN = KnownGpus(
    gpus=(Gpu(A, 0, 0, "NVIDIA H100 80GB HBM3", None), Gpu(B, 1, 1, "NVIDIA H100 80GB HBM3", None)),
    mig={MIG: ON_A},
)
MIG_NAME = "gpu-0-mig-1g10gb-19-6"


class Host:
    def __init__(self, root: Path) -> None:
        self.root, self.proc = root / "host", root / "proc"
        self.files = ClaimFiles(self.root, self.proc)

    def write(self, path: str, content: Any, root: Path | None = None) -> None:
        file = (root or self.root) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_name("aside")
        aside.write_text(content if isinstance(content, str) else json.dumps(content))
        aside.replace(file)

    def prepare(self, *devices: dict[str, Any], uid: str = CLAIM, **claim: Any) -> None:
        prepared = {"preparedDevices": [{"devices": list(devices)}], "checkpointState": "PrepareCompleted"}
        self.write(
            "var/lib/kubelet/plugins/gpu.nvidia.com/checkpoint.json",
            {"v1": {}, "v2": {"preparedClaims": {uid: {**prepared, **claim}}}},
        )

    def manage(self, uid: str = CLAIM, driver: str = DRIVER, **claim: Any) -> None:
        entry = {"ClaimUID": uid, "DriverState": {driver: {}}, **claim}
        self.write("var/lib/kubelet/dra_manager_state", {"Data": json.dumps({"Entries": [entry]})})

    def cdi(self, name: str, *paths: str) -> None:
        nodes = "".join(f"    - path: {path}\n" for path in paths)
        text = f"devices:\n- containerEdits:\n    deviceNodes:\n{nodes}  name: {CLAIM}-{name}\n"
        self.write(f"var/run/cdi/k8s.gpu.nvidia.com-claim_{CLAIM}.yaml", text)

    def device(self, listed: ListedDevice, known: KnownGpus = KNOWN) -> Device | None:
        found = self.files.device_id(listed, known)
        assert found is not None
        assert found == DeviceId(DRIVER, listed.name, found.device)
        return found.device


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def listed(name: str, cdi: bool = True, claim: str = "c") -> ListedDevice:
    names = (f"k8s.gpu.nvidia.com/claim={CLAIM}-{name}",) if cdi else ()
    return ListedDevice("ns", claim, DRIVER, "node", name, names)


def gpu(name: str, uuid: str) -> dict[str, Any]:
    return {"gpu": {"info": {"uuid": uuid}, "device": {"DeviceName": name, "PoolName": "node"}}}


def mig(name: str = MIG_NAME, **concrete: Any) -> dict[str, Any]:
    return {"mig": {"concrete": concrete, "device": {"DeviceName": name, "PoolName": "node"}}}


def test_without_files_the_name_has_to_do(host: Host) -> None:
    assert host.device(listed("gpu-1")) == Device(B)
    assert host.device(listed(MIG_NAME)) == ON_A
    assert host.device(listed("other")) is None


def test_the_drivers_word_stands_above_names_and_device_nodes(host: Host) -> None:
    """Minor numbers may change while MIG is switched on and off; UUIDs do not."""
    host.prepare(gpu("gpu-0", B))
    host.cdi("gpu-0", "/dev/nvidia0")
    assert host.device(listed("gpu-0")) == Device(B)


def test_a_gpu_that_the_driver_prepared_and_that_is_gone_is_not_looked_for_by_name(host: Host) -> None:
    host.prepare(gpu("gpu-0", "GPU-ffffffff-e550-79a1-597e-7631e126c57a"))
    assert host.device(listed("gpu-0")) is None


def test_a_mig_device_made_on_the_fly(host: Host) -> None:
    host.prepare(mig(migUUID=MIG, parentUUID=A, giId=3, ciId=0))
    assert host.device(listed(MIG_NAME)) == ON_A
    host.prepare(mig(migUUID=EARLIER_MIG, parentUUID=A, giId=3, ciId=0))
    assert host.device(listed(MIG_NAME)) is None, "an instance's number is used again; its UUID is not"
    host.prepare(mig(parentUUID=A, giId=3, ciId=0))
    assert host.device(listed(MIG_NAME)) == ON_A
    host.prepare(mig(parentUUID=B, giId=3, ciId=0))
    assert host.device(listed(MIG_NAME)) is None


def test_a_mig_device_is_known_when_the_agent_has_seen_its_layout(host: Host) -> None:
    host.prepare(mig(migUUID=MIG, parentUUID=A, giId=3, ciId=0))
    assert host.device(listed(MIG_NAME), KnownGpus(KNOWN.gpus)) is None
    assert host.device(listed(MIG_NAME)) == ON_A


def test_a_claim_is_found_by_its_name_where_its_uid_is_not_listed(host: Host) -> None:
    host.prepare(gpu("gpu-0", B), namespace="ns", name="c")
    assert host.device(listed("gpu-0", cdi=False)) == Device(B)
    host.prepare(gpu("gpu-0", B))
    host.manage(Namespace="ns", ClaimName="c")
    assert host.device(listed("gpu-0", cdi=False)) == Device(B)
    assert host.device(listed("gpu-0", cdi=False, claim="other")) == Device(B), "the only one of its name"


def test_claims_that_disagree_on_a_name_do_not_speak_for_a_third(host: Host) -> None:
    both = {
        "u1": {"preparedDevices": [{"devices": [gpu("gpu-0", A)]}]},
        "u2": {"preparedDevices": [{"devices": [gpu("gpu-0", B)]}]},
    }
    host.write("var/lib/kubelet/plugins/gpu.nvidia.com/checkpoint.json", {"v2": {"preparedClaims": both}})
    assert host.device(listed("gpu-0")) == Device(A), "by the name's minor number"
    assert host.device(listed("gpu-9")) is None


def test_a_device_of_another_pool_is_another_one(host: Host) -> None:
    other = gpu("gpu-0", B)
    other["gpu"]["device"]["PoolName"] = "other"
    host.prepare(other)
    assert host.device(listed("gpu-0")) == Device(A)


def test_device_nodes_where_the_driver_wrote_nothing_down(host: Host) -> None:
    host.cdi("gpu-0", "/dev/nvidia1", "/dev/nvidiactl")
    assert host.device(listed("gpu-0")) == Device(B)
    minors = "gpu0/gi3/access 30\ngpu0/gi3/ci0/access 31\ngpu1/gi3/ci0/access 41\n"
    host.write("driver/nvidia-caps/mig-minors", minors, host.proc)
    host.cdi("some-mig", "/dev/nvidia0", "/dev/nvidia-caps/nvidia-cap30", "/dev/nvidia-caps/nvidia-cap31")
    assert host.device(listed("some-mig")) == ON_A
    host.cdi("some-mig", "/dev/nvidia0", "/dev/nvidia-caps/nvidia-cap30", "/dev/nvidia-caps/nvidia-cap41")
    assert host.device(listed("some-mig")) is None, "a capability of another GPU"
    host.cdi("some-mig", "/dev/nvidia0", "/dev/nvidia-caps/nvidia-cap99")
    assert host.device(listed("some-mig")) is None, "a capability that nobody knows"
    host.cdi("some-gpus", "/dev/nvidia0", "/dev/nvidia1")
    assert host.device(listed("some-gpus")) is None, "two GPUs are none"


def test_each_device_counts_once_however_often_it_is_listed(host: Host) -> None:
    twice = ListedDevice(
        "ns",
        "c",
        DRIVER,
        "node",
        "gpu-1",
        tuple(f"k8s.gpu.nvidia.com/claim={CLAIM}-{name}" for name in ("gpu-0", "gpu-1") * 2),
    )
    found = host.files.device_ids([listed("gpu-0"), listed("gpu-1"), listed("gpu-0"), twice], KNOWN)
    assert [(each.raw, each.device) for each in found] == [("gpu-0", Device(A)), ("gpu-1", Device(B))]


def test_devices_of_other_drivers_and_for_virtual_machines_do_not_count(host: Host) -> None:
    other = ListedDevice("ns", "c", "gpu.example.com", "node", "gpu-0")
    assert host.files.device_ids([other, listed("gpu-vfio-0")], KNOWN) == ()
    device = {"DeviceName": "gpu-0", "PoolName": "node"}
    host.prepare({"vfio": {"info": {"uuid": A}, "device": device}})
    assert host.files.device_ids([listed("gpu-0")], KNOWN) == ()


def test_who_looks_after_a_device_does_not_hold_it(host: Host) -> None:
    results = [{"device": "gpu-0", "adminAccess": True}]
    host.prepare(gpu("gpu-0", A), status={"allocation": {"devices": {"results": results}}})
    assert host.files.device_ids([listed("gpu-0")], KNOWN) == ()


def test_a_checkpoint_that_changes_is_read_again_and_a_broken_one_says_nothing(host: Host) -> None:
    host.prepare(gpu("gpu-0", B))
    assert host.device(listed("gpu-0")) == Device(B)
    host.prepare(gpu("gpu-0", A))
    assert host.device(listed("gpu-0")) == Device(A)
    host.write("var/lib/kubelet/plugins/gpu.nvidia.com/checkpoint.json", "{")
    assert host.device(listed("gpu-1")) == Device(B)


def hidden(host: Host, *pods: str, listed_any: bool = False) -> bool:
    return host.files.hidden_from(listed_any, lambda uid: uid in pods)


def test_claims_are_hidden_where_pods_that_are_here_have_them_and_none_is_listed(host: Host) -> None:
    assert not hidden(host, "u1")
    host.manage(PodUIDs={"u1": {}})
    assert hidden(host, "u1")
    assert not hidden(host, "u1", listed_any=True)
    assert not hidden(host, "u2"), "whose pods are gone are not hidden"
    host.manage(PodUIDs={"u1": {}}, driver="gpu.example.com")
    assert not hidden(host, "u1"), "claims on other devices do not matter"


def test_the_drivers_checkpoint_alone_shows_hidden_claims_too(host: Host) -> None:
    host.prepare(gpu("gpu-0", A), status={"reservedFor": [{"resource": "pods", "name": "p", "uid": "u1"}]})
    assert hidden(host, "u1")
    assert not hidden(host, "u2")
    host.prepare(gpu("gpu-0", A))
    assert hidden(host), "for whom is not told, so what is prepared counts"
    host.prepare()
    assert not hidden(host)
