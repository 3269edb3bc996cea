"""Paths that runtimes were seen to make."""

import pytest

from gpucost_agent.sources.host.cgroup_paths import Place, parse_cgroup

UID = "0e2e0d3b-9c1a-4f65-8a0f-8f0e6a1c2b3d"
DASHED = UID.replace("-", "_")
CID = "9f" * 32
OUTER = "ab" * 32
HASH = "0123456789abcdef" * 2
SLICE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{DASHED}.slice"
NESTED = f"/system.slice/docker-{OUTER}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice"
IN_POD = Place(UID, CID)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (f"/kubepods/burstable/pod{UID}/{CID}", IN_POD),
        (f"/kubepods/besteffort/pod{UID}/{CID}", IN_POD),
        (f"/kubepods/pod{UID}/{CID}", IN_POD),
        (f"/kubepods/burstable/pod{UID}/crio-{CID}", IN_POD),
        (f"{SLICE}/cri-containerd-{CID}.scope", IN_POD),
        (f"{SLICE}/crio-{CID}.scope", IN_POD),
        (f"{SLICE}/docker-{CID}.scope", IN_POD),
        (f"{SLICE}/libpod-{CID}.scope", IN_POD),
        (f"/kubepods.slice/kubepods-pod{DASHED}.slice/cri-containerd-{CID}.scope", IN_POD),
        (
            f"/system.slice/containerd.service/kubepods-besteffort-pod{DASHED}.slice:cri-containerd:{CID}",
            IN_POD,
        ),
        (f"{SLICE}/crio-{CID}.scope/container", IN_POD),
        (f"{SLICE}/cri-containerd-{CID}.scope/init/docker/{OUTER}", IN_POD),
        (f"/../../../kubepods-pod{DASHED}.slice/cri-containerd-{CID}.scope", IN_POD),
        (f"/../pod{UID}/{CID}", IN_POD),
        (
            f"{NESTED}/kubelet-kubepods-burstable-pod{DASHED}.slice/cri-containerd-{CID}.scope",
            IN_POD,
        ),
        (f"/kubepods/pod{HASH}/{OUTER}/kubelet/kubepods/pod{UID}/{CID}", IN_POD),
        (f"/kubepods/burstable/pod{HASH}/{CID}", Place(HASH, CID)),
        (f"{SLICE}/cri-containerd-{CID}.scope (deleted)", IN_POD),
        (f"{SLICE}:crio:{CID}", IN_POD),
        (f"{SLICE}/crio-{CID}.scope/libpod-payload-{OUTER}", IN_POD),
        (f"{SLICE}/cri-containerd-{CID}.scope/kubepods/fake", IN_POD),
        (f"/kubepods.slice/kubepods-pod{HASH}.slice/cri-containerd-{CID}.scope", Place(HASH, CID)),
        (f"/../../kubelet-kubepods-pod{DASHED}.slice/cri-containerd-{CID}.scope", IN_POD),
        # Kata: the sandbox's cgroup names the pod; what runs in it is not the host's to see.
        (f"{SLICE}/kata_overhead/{CID}", IN_POD),
        (f"/kata_overhead/{CID}", Place("", CID)),
        (f"/machine.slice/libpod-{OUTER}.scope/container", Place("", OUTER, f"libpod-{OUTER}.scope")),
        (
            f"/machine.slice/machine-libpod_pod_{OUTER}.slice/libpod-{CID}.scope",
            Place("", CID, f"libpod-{CID}.scope"),
        ),
        (f"/docker/{CID}", Place("", CID)),
        ("/system.slice/slurmstepd.scope/job_1/step_0", Place(unit="slurmstepd.scope")),
        (f"{SLICE}", Place(UID)),
        (f"{SLICE}/crio-conmon-{CID}.scope", Place(UID)),
        (f"/system.slice/docker-{OUTER}.scope", Place("", OUTER, f"docker-{OUTER}.scope")),
        ("/system.slice/nvidia-persistenced.service", Place(unit="nvidia-persistenced.service")),
        ("/user.slice/user-1000.slice/session-3.scope", Place(unit="session-3.scope")),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/x.service", Place(unit="x.service")),
        ("/init.scope", Place(unit="init.scope")),
        ("/", Place()),
        ("/podcast/0e2e0d3b", Place()),
        (f"/pod{UID}0/{CID}", Place("", CID)),
    ],
)
def test_a_process_stands_where_its_runtime_put_it(path: str, place: Place) -> None:
    assert parse_cgroup(f"0::{path}\n") == place


@pytest.mark.parametrize("order", [1, -1])
def test_of_both_versions_at_once_the_one_that_knows_is_right(order: int) -> None:
    lines = [
        f"7:devices:{SLICE}",
        f"3:cpu,cpuacct:/kubepods/pod{UID}/{CID}",
        "0::/",
        "1:name=systemd:/init.scope",
    ]
    assert parse_cgroup("\n".join(lines[::order])) == IN_POD


def test_on_version_1_the_hierarchy_that_knows_the_container_is_right() -> None:
    text = f"4:memory:{SLICE}/cri-containerd-{CID}.scope\n1:name=systemd:/\n0::/system.slice/containerd.service\n"
    assert parse_cgroup(text) == IN_POD


@pytest.mark.parametrize("text", ["", "\n", "nonsense\n", "0:\n"])
def test_what_is_no_cgroup_file_tells_nothing(text: str) -> None:
    assert parse_cgroup(text) == Place()
