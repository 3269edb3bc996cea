"""The simulated /proc and log folders say of a process what a host's say."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from simnode import cgroups
from simnode.pod_logs import PodLogs, link_name
from simnode.proc_tree import ProcTree, next_change
from simnode.scenario import Node, load
from simnode.world import Cgroup, Container, Pod

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND + 123

SCENARIO = """
name: small
clusters:
  - name: one
    nodes:
      - name: node-0
        booted: -90s
        cgroup: {CGROUP}
        gpus: [{model: NVIDIA L4}]
        pods:
          - name: steady-0
            namespace: a
            start: 2s
            end: 20s
            containers:
              - name: main
                gpus: [0]
                processes:
                  - {gpu: 0, start: 1s, pid: 4711, busy: {pattern: none}}
                  - {gpu: 0, start: 4s, every: 3s, for: 1s, busy: {pattern: none}}
        host_processes:
          - {gpu: 0, start: 10s, end: 12s, busy: {pattern: none}}
"""


def load_node(folder: Path, cgroup: str = "version: 2") -> Node:
    file = folder / "small.yaml"
    file.write_text(SCENARIO.replace("CGROUP", cgroup))
    return load(file, seed=7).cluster("one").node("node-0")


def tree_of(node: Node, folder: Path) -> ProcTree:
    return ProcTree(folder / "proc", folder / "staging", node, 7, START)


def pids(folder: Path) -> set[int]:
    return {int(path.name) for path in (folder / "proc").iterdir() if path.name.isdigit()} - {1}


def stat_fields(folder: Path, pid: int) -> list[str]:
    """From field 3 on; the comm before may hold spaces and brackets."""
    return (folder / "proc" / str(pid) / "stat").read_text().rpartition(") ")[2].split()


def test_processes_appear_and_vanish_with_the_scenario(tmp_path: Path) -> None:
    node = load_node(tmp_path)
    tree = tree_of(node, tmp_path)
    tree.create(0)
    assert pids(tmp_path) == set()
    tree.update(3 * SECOND)
    assert pids(tmp_path) == {4711}
    repeated = []
    for begin in (6, 9, 12, 15, 18):
        tree.update(begin * SECOND)
        repeated.append(pids(tmp_path) - {4711})
        tree.update((begin + 1) * SECOND)
    assert [len(found) for found in repeated] == [1, 1, 1, 1, 1]
    assert len(set.union(*repeated)) == len(repeated)
    tree.update(20 * SECOND)
    assert pids(tmp_path) == set()
    assert list((tmp_path / "staging").iterdir()) == []


def test_stat_has_the_start_in_ticks_since_the_boot(tmp_path: Path) -> None:
    node = load_node(tmp_path)
    tree_of(node, tmp_path).create(3 * SECOND)
    fields = stat_fields(tmp_path, 4711)
    assert len(fields) == 50
    assert fields[22 - 3] == str((90 + 3) * 100)
    comm = (tmp_path / "proc/4711/comm").read_text().strip()
    assert (tmp_path / "proc/4711/stat").read_text().startswith(f"4711 ({comm}) S ")


def test_the_boot_is_the_same_everywhere(tmp_path: Path) -> None:
    node = load_node(tmp_path)
    tree = tree_of(node, tmp_path)
    tree.create(0)
    assert f"\nbtime {START // SECOND - 90}\n" in (tmp_path / "proc/stat").read_text()
    assert (tmp_path / "proc/uptime").read_text() == "90.00 90.00\n"
    tree.update(SECOND // 2)
    assert (tmp_path / "proc/uptime").read_text() == "90.50 90.50\n"
    boot_id = (tmp_path / "proc/sys/kernel/random/boot_id").read_text()
    assert boot_id == tree.boot_id + "\n"
    assert tree_of(node, tmp_path).boot_id == tree.boot_id


def test_a_host_process_belongs_to_a_service(tmp_path: Path) -> None:
    node = load_node(tmp_path)
    tree_of(node, tmp_path).create(11 * SECOND)
    (pid,) = pids(tmp_path) - {4711}
    assert (tmp_path / "proc" / str(pid) / "cgroup").read_text() == "0::/system.slice/gpu-job-0.service\n"


def test_next_change_finds_every_beginning_and_end(tmp_path: Path) -> None:
    node = load_node(tmp_path)
    found = []
    now_ns: int | None = -1
    while now_ns is not None:
        now_ns = next_change(node, now_ns)
        found.append(now_ns)
    expected = [3, 6, 7, 9, 10, 12, 13, 15, 16, 18, 19, 20]
    assert [at // SECOND for at in found if at is not None] == expected


GUARANTEED, BURSTABLE, BEST_EFFORT = (
    f"{first}-0000-4000-8000-000000000000" for first in ("00000002", "00000000", "00000001")
)
CID = "ab" * 32


@pytest.mark.parametrize(
    ("driver", "runtime", "uid", "path"),
    [
        (
            "systemd",
            "containerd",
            BURSTABLE,
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/cri-containerd-CID.scope",
        ),
        (
            "systemd",
            "docker",
            BEST_EFFORT,
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podUID.slice/docker-CID.scope",
        ),
        (
            "systemd",
            "containerd",
            GUARANTEED,
            "/kubepods.slice/kubepods-podUID.slice/cri-containerd-CID.scope",
        ),
        ("systemd", "crio", GUARANTEED, "/kubepods.slice/kubepods-podUID.slice/crio-CID.scope/container"),
        ("cgroupfs", "containerd", BURSTABLE, "/kubepods/burstable/podUID/CID"),
        ("cgroupfs", "docker", GUARANTEED, "/kubepods/podUID/CID"),
        ("cgroupfs", "crio", BEST_EFFORT, "/kubepods/besteffort/podUID/crio-CID"),
    ],
)
def test_cgroup_paths_have_the_shape_of_their_driver_and_runtime(
    driver: str, runtime: str, uid: str, path: str
) -> None:
    container = Container("c", "main", CID, (), ())
    pod = Pod("p", "pod", "ns", uid, {}, {}, None, 0, None, (container,))
    written = uid.replace("-", "_") if driver == "systemd" else uid
    expected = path.replace("UID", written).replace("CID", CID)
    assert cgroups.container_path(Cgroup(2, driver, runtime), pod, container) == expected


@pytest.mark.parametrize(
    ("driver", "path"),
    [
        (
            "systemd",
            "/system.slice/docker-OUTER.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/POD",
        ),
        ("cgroupfs", "/docker/OUTER/kubelet/kubepods/burstable/podUID/CID"),
    ],
)
def test_a_node_that_is_a_container_has_its_own_id_above_the_pods(driver: str, path: str) -> None:
    container = Container("c", "main", CID, (), ())
    pod = Pod("p", "pod", "ns", BURSTABLE, {}, {}, None, 0, None, (container,))
    written = BURSTABLE.replace("-", "_") if driver == "systemd" else BURSTABLE
    outer = "cd" * 32
    path = path.replace("POD", "kubelet-kubepods-burstable-podUID.slice/cri-containerd-CID.scope")
    expected = path.replace("OUTER", outer).replace("UID", written).replace("CID", CID)
    assert cgroups.container_path(Cgroup(2, driver, "containerd", True), pod, container, outer) == expected


def test_a_nested_nodes_processes_name_two_containers(tmp_path: Path) -> None:
    node = load_node(tmp_path, "nested: true")
    tree_of(node, tmp_path).create(3 * SECOND)
    ids = re.findall("[0-9a-f]{64}", (tmp_path / "proc/4711/cgroup").read_text())
    assert len(set(ids)) == 2
    assert ids[1] == node.pods[0].containers[0].id


STATIC = "0123456789abcdef0123456789abcdef"


def test_a_static_pods_folders_have_its_hash(tmp_path: Path) -> None:
    node = load_node(tmp_path)
    pod = replace(node.pods[0], annotations={"kubernetes.io/config.hash": STATIC})
    node = replace(node, pods=(pod,))
    tree_of(node, tmp_path).create(3 * SECOND)
    assert f"pod{STATIC}" in (tmp_path / "proc/4711/cgroup").read_text()
    PodLogs(tmp_path / "host", node).create(3 * SECOND)
    assert [path.name for path in (tmp_path / "host/var/log/pods").iterdir()] == [f"a_steady-0_{STATIC}"]


def test_the_drivers_capabilities_are_in_proc(tmp_path: Path) -> None:
    tree_of(load_node(tmp_path), tmp_path).create(0)
    text = (tmp_path / "proc/driver/nvidia-caps/mig-minors").read_text()
    assert "\ngpu0/gi0/access 3\n" in text


def test_a_containers_logs_begin_with_it_and_stay_as_long_as_the_pod(tmp_path: Path) -> None:
    node = load_node(tmp_path)
    pod, second = node.pods[0], 2 * SECOND
    (main,) = pod.containers
    init = replace(main, name="fetch", id="cd" * 32, kind="init", start_ns=second, end_ns=2 * second)
    main = replace(main, start_ns=2 * second)
    node = replace(node, pods=(replace(pod, containers=(init, main), finished_ns=4 * second),))
    host = tmp_path / "host"
    logs = PodLogs(host, node)

    def containers() -> set[str]:
        return {path.name for path in (host / "var/log/pods" / f"a_steady-0_{pod.uid}").iterdir()}

    logs.create(second)
    assert containers() == {"fetch"}
    assert len(list((host / "var/log/containers").iterdir())) == 1
    of_pod = host / "var/lib/kubelet/pods" / pod.uid / "containers"
    assert {path.name for path in of_pod.iterdir()} == {"fetch"}
    logs.update(2 * second)
    assert containers() == {path.name for path in of_pod.iterdir()} == {"fetch", "main"}
    logs.update(5 * second)
    assert containers() == {"fetch", "main"}
    logs.update(20 * SECOND)
    assert list((host / "var/log/pods").iterdir()) == list((host / "var/log/containers").iterdir()) == []
    assert list((host / "var/lib/kubelet/pods").iterdir()) == []


def test_version_1_has_a_line_a_controller_and_a_unified_line_that_misleads(tmp_path: Path) -> None:
    node = load_node(tmp_path, "version: 1, driver: cgroupfs, runtime: docker")
    tree_of(node, tmp_path).create(3 * SECOND)
    lines = (tmp_path / "proc/4711/cgroup").read_text().splitlines()
    pod = node.pods[0]
    paths = {line.split(":", 2)[2] for line in lines[:-1]}
    assert len(lines) == 13
    assert len(paths) == 1
    assert re.search(rf"pod{pod.uid}/{pod.containers[0].id}$", paths.pop())
    assert lines[-1] == "0::/system.slice/docker.service"


def test_log_folders_tie_names_to_ids_while_the_pod_lives(tmp_path: Path) -> None:
    node = load_node(tmp_path)
    pod, host = node.pods[0], tmp_path / "host"
    logs = PodLogs(host, node)
    logs.create(0)
    assert list((host / "var/log/pods").iterdir()) == []
    logs.update(2 * SECOND)
    assert (host / f"var/log/pods/a_steady-0_{pod.uid}/main").is_dir()
    (link,) = (host / "var/log/containers").iterdir()
    assert link.name == f"steady-0_a_main-{pod.containers[0].id}.log"
    assert str(link.readlink()) == f"/var/log/pods/a_steady-0_{pod.uid}/main/0.log"
    logs.update(20 * SECOND)
    assert list((host / "var/log/pods").iterdir()) == list((host / "var/log/containers").iterdir()) == []


def test_a_long_link_name_loses_the_end_of_its_id() -> None:
    container = Container("c", "main", CID, (), ())
    pod = Pod("p", "n" * 200, "ns", BURSTABLE, {}, {}, None, 0, None, (container,))
    name = link_name(pod, container)
    assert len(name) == 255
    assert name.endswith("ab.log")
    assert CID not in name
