"""From a process on a GPU to the container that pays for it, as every container runtime shows it; and without that."""

import copy
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import pytest
import yaml
from gpucost.cost_slice import CostSlice
from gpucost.identity import HOST, HolderKind

from contracts.mapping_stage import Run, charged_ns, holders, named, play, reserved_ns, used_ns
from contracts.node_stage import SECOND

NODES = Path(__file__).with_name("processes.yaml")
CGROUPS = {
    f"v{version}-{driver}-{runtime}{'-nested' * nested}": {
        "version": version,
        "driver": driver,
        "runtime": runtime,
        "nested": bool(nested),
    }
    for version, driver, runtime, nested in product(
        (1, 2), ("systemd", "cgroupfs"), ("containerd", "crio", "docker"), (0, 1)
    )
}
WITHOUT_API = {name for name, kind in CGROUPS.items() if (kind["version"] == 1) == kind["nested"]}
"""Half of the nodes, of every kind; there the names of log files have to do."""
HASH = "0123456789abcdef0123456789abcdef"
"""Of the static pod's manifest; nobody but the API server knows its mirror's UID."""


def scenario() -> str:
    described = yaml.safe_load(NODES.read_text())
    nodes = described["clusters"][0]["nodes"]
    first = nodes.pop(0)
    for name, cgroup in CGROUPS.items():
        node = copy.deepcopy(first) | {"name": name, "cgroup": cgroup}
        for pod in node["pods"]:
            pod["namespace"] = name
        nodes.append(node)
    return str(yaml.safe_dump(described))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    alone = tmp_path_factory.mktemp("proc")
    show_a_pods_own_processes(alone)
    flags = {name: {"kube-api": "none"} for name in WITHOUT_API}
    return play(scenario(), seconds=9, flags=flags | {"blind": {"proc-root": str(alone)}})


def show_a_pods_own_processes(folder: Path) -> None:
    """A /proc such as a container has that does not share the host's PIDs."""
    (folder / "1").mkdir()
    (folder / "1" / "comm").write_text("gpucost-agent\n")
    (folder / "1" / "cgroup").write_text("0::/\n")
    (folder / "1" / "stat").write_text("1 (gpucost-agent) S 0 1 1 0 -1 4194560 " + "0 " * 12 + "1 0 0\n")
    (folder / "stat").write_text("cpu  1 1 1 1\nbtime 1700000000\n")


@pytest.fixture(params=list(CGROUPS))
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def sampled(rows: Iterable[CostSlice]) -> list[CostSlice]:
    """Those of windows in which the driver took a sample: the first may be shorter than its period."""
    return [row for row in rows if row.evidence.samples]


def uids(rows: Iterable[CostSlice]) -> set[str]:
    return {holder.pod_uid for holder in holders(rows) if holder.pod}


def test_use_is_the_containers_whose_process_it_is(run: Run, name: str) -> None:
    node = run.nodes[name]
    for gpu, (busy, idle) in enumerate((("left", "right"), ("right", "left"))):
        rows = node.on(node.gpus[gpu])
        assert {who for who in named(rows) if "/" in who} == {"pair/left", "pair/right"}
        works = [row for row in rows if row.key.holder.container == busy]
        waits = [row for row in rows if row.key.holder.container == idle]
        assert used_ns(works) > 0.4 * node.length_ns(node.gpus[gpu])
        assert used_ns(sampled(waits)) == 0
        assert uids(works) == uids(waits) == true_uids(run, name, "pair")
        assert {row.evidence.method for row in sampled(works)} == {"ring_process"}


def test_a_static_pod_is_found_by_its_manifests_hash(run: Run, name: str) -> None:
    node = run.nodes[name]
    rows = node.on(node.gpus[2])
    assert {who for who in named(rows) if "/" in who} == {"manifest/idle", "manifest/busy"}
    works = node.of("manifest", "busy")
    assert used_ns(works) > 0.4 * node.length_ns(node.gpus[2])
    assert used_ns(sampled(node.of("manifest", "idle"))) == 0
    assert uids(rows) == ({HASH} if name in WITHOUT_API else true_uids(run, name, "manifest"))


def true_uids(run: Run, name: str, pod: str) -> set[str]:
    return {
        line["pod_uid"]
        for line in run.truth
        if line["kind"] == "hold" and (line["node"], line["pod"]) == (name, pod)
    }


def test_nobody_but_containers_works_here(run: Run, name: str) -> None:
    node = run.nodes[name]
    assert node.by(HolderKind.HOST) == ()
    # The driver's samples are of whole percents, and may fall between its looks at processes.
    assert used_ns(node.by(HolderKind.UNATTRIBUTED)) < 0.05 * sum(map(node.length_ns, node.gpus))
    assert "law_broken" not in node.log
    assert "thread_failed" not in node.log


@pytest.mark.parametrize("gpu", [0, 1])
def test_without_the_hosts_processes_nobody_is_idle_on_a_shared_gpu_that_was_busy(run: Run, gpu: int) -> None:
    node = run.nodes["blind"]
    rows = [row for row in node.on(node.gpus[gpu]) if row.key.holder.kind is HolderKind.CONTAINER]
    assert named(rows) == {"seen/one", "seen/two"}
    watched = [row for row in rows if row.evidence.watched_ns > SECOND]
    assert len(watched) > 2
    for row in watched:
        assert row.time.used_ns > 0
        assert (row.evidence.method, row.evidence.samples) == ("equal", 0)
    assert used_ns(node.by(HolderKind.UNATTRIBUTED)) == used_ns(node.by(HolderKind.HOST)) == 0
    assert "hostPID" in node.log


def test_where_the_driver_tells_no_use_by_process_memory_does(run: Run) -> None:
    node = run.nodes["by-memory"]
    one, two = node.of("seen", "one"), node.of("seen", "two")
    watched = [row for row in (*one, *two) if row.evidence.watched_ns > SECOND]
    assert {(row.evidence.method, row.evidence.samples) for row in watched} == {("memory", 0)}
    assert all(row.time.used_ns for row in watched)
    assert abs(used_ns(one) - 4 * used_ns(two)) < 100


def test_use_past_the_holder_is_its_users_and_the_holder_pays_less_by_just_that(run: Run) -> None:
    node = run.nodes["shadows"]
    first = node.gpus[0]
    rows = node.on(first)
    parties = {"holder/main", "holder/beside", "privileged/takes", "host"}
    assert parties <= named(rows) <= parties | {"unattributed"}
    others = [row for row in rows if row.key.holder.container != "main"]
    assert reserved_ns(others) == 0
    assert charged_ns(others) == used_ns(others)
    main = node.of("holder", "main")
    assert reserved_ns(main) == node.length_ns(first)
    assert charged_ns(main) == node.length_ns(first) - used_ns(others)
    for who in (node.of("holder", "beside"), node.of("privileged"), node.by(HolderKind.HOST)):
        assert used_ns(row for row in who if row in rows) > 0.05 * node.length_ns(first)


def test_only_who_takes_what_is_anothers_is_a_shadow(run: Run) -> None:
    node = run.nodes["shadows"]
    flags = {who: {row.flags for row in node.slices if row.key.holder == who} for who in holders(node.slices)}
    shadows = {who.pod for who, found in flags.items() if found == {("shadow",)}}
    assert shadows == {"privileged"}
    assert {flag for who, found in flags.items() if who.pod != "privileged" for flag in found} == {()}


def test_a_gpu_that_nobody_holds_is_paid_by_its_users_as_far_as_they_use_it(run: Run) -> None:
    node = run.nodes["shadows"]
    for gpu, user in ((node.gpus[1], "privileged/takes"), (node.gpus[2], "host")):
        rows = node.on(gpu)
        assert named(rows) - {"unattributed"} == {user, "unallocated"}
        used = used_ns(row for row in rows if row.key.holder.kind is not HolderKind.UNALLOCATED)
        assert 0.3 * node.length_ns(gpu) < used < 0.7 * node.length_ns(gpu)
    assert {row.key.holder for row in node.on(node.gpus[2])} >= {HOST}
