"""What the API server says of pods and nodes; names, labels and annotations are their owners' own words."""

import json
import re
from datetime import UTC, datetime
from typing import Any

from gpucost.clock import Instant
from gpucost.units import NS_PER_SECOND
from hypothesis import strategies as st

from fuzz.drawing import changed, json_inputs, texts
from fuzz.shapes import see_typed
from fuzz.target import Target, holds, text_of
from gpucost_agent.readings import PPM, Pod
from gpucost_agent.sources.pods import gpu_fractions
from gpucost_agent.sources.pods.pod_memory import PodMemory
from gpucost_agent.sources.pods.pod_objects import KEPT_KEYS, LONGEST_VALUE, parse_node, parse_time_ns

A = "GPU-0000000a-0000-0000-0000-00000000000a"
NOW = Instant(1_790_000_000 * NS_PER_SECOND, 5)
MOST_BYTES = 1 << 62

names = st.sampled_from(["llama-0", "server", "é", ""])
amounts = st.sampled_from(
    ["0", "1", "25", "100", "101", "1000", "12345678901234", "x", "0.5", "1e-999999999", "-1", ""]
)
numbers = st.one_of(amounts, amounts, amounts, texts)
annotations = st.fixed_dictionaries(
    {},
    optional={
        gpu_fractions.HAMI: st.builds(
            lambda memory, cores: f"{A},NVIDIA,{memory},{cores}:;{A},NVIDIA,4000,25:;", numbers, numbers
        ),
        gpu_fractions.VOLCANO_INDEX: numbers,
        gpu_fractions.ALIYUN_INDEX: numbers,
        gpu_fractions.ALIYUN_UNITS: numbers,
        gpu_fractions.ALIYUN_ALL_UNITS: numbers,
        gpu_fractions.SHARE: numbers,
        gpu_fractions.MEMORY: numbers,
        gpu_fractions.CONTAINER: names,
        "gpucost.dev/model": texts | st.just("m" * 999),
        "kubernetes.io/config.hash": st.just("0123456789abcdef" * 2),
    },
)


def _hami(cores: str) -> dict[str, str]:
    return {gpu_fractions.HAMI: f"{A},NVIDIA,4000,{cores}:;"}


labels = st.fixed_dictionaries(
    {},
    optional={
        gpu_fractions.GROUP: names,
        f"{gpu_fractions.GROUP}/g2": names,
        "app": texts | st.just("dcgm-exporter"),
        "pod-template-hash": st.just("7c9f"),
        "secret": texts,
    },
)
times = st.sampled_from(
    [
        "2026-11-21T08:00:00Z",
        "2026-11-21T08:00:00.123456Z",
        None,
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "now",
    ]
)
states = st.builds(
    lambda what, began, ended: {
        what: {"startedAt": began, "finishedAt": ended, "containerID": "containerd://ab"}
    },
    st.sampled_from(["running", "terminated", "waiting"]),
    times,
    times,
)
statuses = st.fixed_dictionaries(
    {"name": names, "state": states}, optional={"containerID": st.just("cri-o://9f"), "lastState": states}
)
containers = st.fixed_dictionaries(
    {"name": names},
    optional={
        "resources": st.just({"limits": {gpu_fractions.VOLCANO_MEMORY: "1000"}}),
        "restartPolicy": st.just("Always"),
        "ports": st.just([{"name": "metrics", "containerPort": 9400}]),
    },
)
pods = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries(
            {
                "namespace": st.sampled_from(["chat", "runai-reservation"]),
                "name": names,
                "uid": st.sampled_from(["u1", "u2"]),
            },
            optional={
                "labels": labels,
                "annotations": st.one_of(annotations, annotations, amounts.map(_hami)),
                "ownerReferences": st.just(
                    [{"kind": "ReplicaSet", "name": "llama-7c9f", "controller": True}]
                ),
                "deletionTimestamp": times,
            },
        )
    },
    optional={
        "spec": st.fixed_dictionaries(
            {"containers": st.lists(containers, max_size=2)},
            optional={
                "initContainers": st.lists(containers, max_size=2),
                "resourceClaims": st.just([{"name": "c"}]),
            },
        ),
        "status": st.fixed_dictionaries(
            {"phase": st.sampled_from(["Running", "Pending"])},
            optional={
                "containerStatuses": st.lists(statuses, max_size=2),
                "initContainerStatuses": st.lists(statuses, max_size=2),
                "podIP": st.sampled_from(["10.0.0.1", "fd00::1", ""]),
            },
        ),
    },
)


def check_pod(data: bytes) -> bool:
    """An object is a pod or counted as malformed; what is kept of it is bounded, typed, and in its object."""
    try:
        entry: Any = json.loads(text_of(data))
    except (ValueError, RecursionError):
        return False
    memory = PodMemory(KEPT_KEYS)
    memory.put(entry)
    found = memory.pods(NOW)
    holds(len(found) + memory.malformed == 1, "an object is neither a pod nor malformed")
    again = PodMemory(KEPT_KEYS)
    again.replace([entry, entry], NOW)
    holds(again.pods(NOW) == found and again.dcgm_url == memory.dcgm_url, "read twice, a pod is two")
    for pod in found:
        see_typed(pod)
        _see_pod(pod, entry)
    memory.remove(entry, NOW)
    holds(len(memory.pods(NOW)) == len(found), "a pod that is gone is not remembered")
    _see_node(entry)
    return bool(found)


def _see_pod(pod: Pod, entry: Any) -> None:
    metadata = entry["metadata"]
    holds(
        (pod.namespace, pod.name, pod.uid) == tuple(metadata[key] for key in ("namespace", "name", "uid")),
        "who",
    )
    for kept, said in ((pod.labels, metadata.get("labels")), (pod.annotations, metadata.get("annotations"))):
        holds(set(kept) == set(said or {}) & KEPT_KEYS, f"kept {sorted(kept)}")
        for key, value in kept.items():
            holds(value == said[key][:LONGEST_VALUE], f"{key} was changed")
    for part in pod.fractions:
        holds(0 <= part.share_ppm <= PPM and 0 <= part.cores_ppm <= PPM, f"more than a GPU: {part}")
        holds(0 <= part.memory_bytes <= MOST_BYTES, f"more memory than there is: {part}")
        holds(part.gpu_index is None or 0 <= part.gpu_index < 10**12, f"{part}")
    spec, status = entry.get("spec") or {}, entry.get("status") or {}
    said = {
        each["name"]
        for group in ("initContainer", "container", "ephemeralContainer")
        for each in (*(spec.get(f"{group}s") or ()), *(status.get(f"{group}Statuses") or ()))
    }
    holds({each.name for each in pod.containers} == said, "containers were lost")


def _see_node(entry: Any) -> None:
    try:
        node = parse_node(entry)
    except (KeyError, TypeError, ValueError, AttributeError):
        return
    holds(node.name == entry["metadata"]["name"], "a node has another name")


def check_time(data: bytes) -> bool:
    """A time is read as the calendar has it, or raises ValueError."""
    text = text_of(data)
    try:
        at_ns = parse_time_ns(text)
    except ValueError:
        return False
    holds(at_ns is not None, "a time is none")
    seconds, _, rest = text.removesuffix("Z").partition(".")
    moment = datetime.fromisoformat(f"{seconds}+00:00")
    whole = moment - datetime(1970, 1, 1, tzinfo=UTC)
    holds((at_ns or 0) // NS_PER_SECOND == whole.days * 86_400 + whole.seconds, f"{text!r} is {at_ns}")
    if re.fullmatch(r"[0-9]{1,9}|", rest):
        holds((at_ns or 0) % NS_PER_SECOND == int(rest.ljust(9, "0")), f"{text!r} is {at_ns}")
    return True


_ROOM = "agent/gpucost_agent/sources/pods"
_TIMES = (
    b"2026-11-21T08:00:00Z",
    b"2026-11-21T08:00:00.123456789Z",
    b"0001-01-01T00:00:00Z",
    b"1969-12-31T23:59:59.5Z",
)
TARGETS = (
    Target(
        "pods",
        (
            f"{_ROOM}/pod_objects.py",
            f"{_ROOM}/gpu_fractions.py",
            f"{_ROOM}/exporter_pod.py",
            f"{_ROOM}/pod_memory.py",
        ),
        json_inputs(pods),
        check_pod,
    ),
    Target(
        "pod_times",
        (f"{_ROOM}/pod_objects.py",),
        changed(_TIMES, (b"Z", b".", b"+02:00", b"-", b"T", b" ")),
        check_time,
    ),
)
