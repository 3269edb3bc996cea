"""Reads one node of a scenario: its driver, its GPUs, and its pods by way of pods.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

from simnode import draws
from simnode.claims import read_claims
from simnode.document import Value
from simnode.gpus import read_gpus
from simnode.holdings import Draft
from simnode.overlaps import check_memory, check_pids
from simnode.pods import read_pods
from simnode.processes import Life, read_process
from simnode.replicas import assign_replicas
from simnode.surroundings import read_dcgm, read_failures, read_kubelet, read_symbols
from simnode.world import Cgroup, Driver, Node

_KEYS = (
    "name",
    "booted",
    "instance_type",
    "region",
    "labels",
    "annotations",
    "driver",
    "cgroup",
    "gpus",
    "pods",
    "host_processes",
    "failures",
    "claims",
    "kubelet",
    "dcgm",
)


@dataclass(slots=True)
class ClusterDraft:
    """A cluster while it is read: places of its pods by path, and of the UUIDs of the whole scenario."""

    seed: int
    name: str
    path: str
    uuids: dict[str, Value]
    pods: dict[str, Value] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


def read_node(entry: Value, cluster: ClusterDraft) -> Node:
    """The node, its pods with the replicas that they hold."""
    seed = cluster.seed
    fields = entry.section("a node", _KEYS)
    for key in ("name", "gpus"):
        if key not in fields:
            entry.fail(f"a node needs `{key}`")
    name = fields["name"].name("a node's name")
    if name in cluster.names:
        fields["name"].fail(f"there is a node {name} already; names of nodes must differ in a cluster")
    cluster.names.add(name)
    path = f"{cluster.path}/nodes/{name}"
    booted = fields["booted"].offset("booted") if "booted" in fields else 0
    if booted > 0:
        fields["booted"].fail("booted must not be after the start; write a negative time such as -30m")
    gpus = read_gpus(fields["gpus"], seed, path, cluster.uuids)
    claims = read_claims(fields["claims"], seed, path, gpus) if "claims" in fields else ()
    draft = Draft(seed, path, gpus, claims)
    pods = read_pods(fields["pods"], draft, cluster.pods) if "pods" in fields else []
    hosts = fields["host_processes"].items("host_processes") if "host_processes" in fields else []
    host_processes = tuple(
        read_process(host, draft, f"{path}/host_processes/{i}", Life(0, 0, None))
        for i, host in enumerate(hosts)
    )
    check_pids(draft)
    check_memory(draft)
    pods = assign_replicas(draft, pods)
    empty = MappingProxyType[str, str]({})
    return Node(
        path=path,
        cluster=cluster.name,
        name=name,
        uid=draws.lower_uuid(seed, path, "uid"),
        booted_ns=booted,
        instance_type=fields["instance_type"].text("instance_type") if "instance_type" in fields else None,
        region=fields["region"].text("region") if "region" in fields else None,
        labels=fields["labels"].text_map("labels") if "labels" in fields else empty,
        annotations=fields["annotations"].text_map("annotations") if "annotations" in fields else empty,
        driver=_driver(fields.get("driver")),
        cgroup=_cgroup(fields.get("cgroup")),
        gpus=gpus,
        pods=tuple(pods),
        host_processes=host_processes,
        pid_base=draws.integer(seed, path, "pids", 900_000),
        pid_stride=max(1, len(draft.specs)),
        pids_taken=tuple(sorted({spec.pid for spec, _ in draft.specs if spec.pid is not None})),
        failures=read_failures(fields.get("failures"), gpus),
        claims=claims,
        kubelet=read_kubelet(fields.get("kubelet")),
        dcgm=read_dcgm(fields.get("dcgm")),
    )


def _driver(entry: Value | None) -> Driver:
    known = ("version", "sample_period_ms", "ring_depth", "owner", "rounding", "turn_ms")
    keys = (*known, "accounting", "gpm", "unsupported")
    fields = entry.section("driver", keys) if entry else {}
    get = fields.get
    version, period, depth = get("version"), get("sample_period_ms"), get("ring_depth")
    owner, rounding, turn = get("owner"), get("rounding"), get("turn_ms")
    period_ns = period.milliseconds("sample_period_ms") if period else 167_000_000
    if period and not 10**6 <= period_ns <= 4 * 10**9:
        period.fail("sample_period_ms must be from 1 to 4000")
    turn_ns = turn.milliseconds("turn_ms") if turn else 2_000_000
    if turn and turn_ns < 10_000:
        turn.fail("turn_ms must be at least 0.01; shorter turns would cost the simulator a core")
    version_pattern = r"\d{3}\.\d{1,3}(?:\.\d{1,2})?"
    return Driver(
        version=version.matching("version", version_pattern, "570.86.15") if version else "570.86.15",
        sample_period_ns=period_ns,
        ring_depth=depth.integer("ring_depth", 1, 4096) if depth else 72,
        owner=owner.choice("owner", ("proportional", "last", "instant", "longest"))
        if owner
        else "proportional",
        rounding=rounding.choice("rounding", ("down", "nearest")) if rounding else "down",
        turn_ns=turn_ns,
        accounting=fields["accounting"].boolean("accounting") if "accounting" in fields else False,
        gpm=fields["gpm"].boolean("gpm") if "gpm" in fields else None,
        unsupported=read_symbols(fields.get("unsupported")),
    )


def _cgroup(entry: Value | None) -> Cgroup:
    fields = entry.section("cgroup", ("version", "driver", "runtime", "nested")) if entry else {}
    version, driver, runtime = fields.get("version"), fields.get("driver"), fields.get("runtime")
    return Cgroup(
        version=version.integer("version", 1, 2) if version else 2,
        driver=driver.choice("driver", ("systemd", "cgroupfs")) if driver else "systemd",
        runtime=runtime.choice("runtime", ("containerd", "crio", "docker")) if runtime else "containerd",
        nested=fields["nested"].boolean("nested") if "nested" in fields else False,
    )
