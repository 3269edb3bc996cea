"""
Parts of GPUs that schedulers give out past the kubelet, as they write them into pods: pure.

Such a scheduler decides which GPU a pod uses and how much of it, and tells it in annotations and labels only; what
the kubelet lists is a placeholder, or nothing.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from gpucost_agent.readings import PPM, GpuFraction

_MOST_DIGITS = 12
_MIB = 1 << 20
_PERCENT_PPM = PPM // 100

HAMI = "hami.io/vgpu-devices-allocated"
VOLCANO_INDEX = "volcano.sh/gpu-index"
VOLCANO_MEMORY = "volcano.sh/gpu-memory"
ALIYUN_INDEX = "ALIYUN_COM_GPU_MEM_IDX"
ALIYUN_UNITS = "ALIYUN_COM_GPU_MEM_POD"
ALIYUN_ALL_UNITS = "ALIYUN_COM_GPU_MEM_DEV"
GROUP = "runai-gpu-group"
SHARE = "gpu-fraction"
MEMORY = "gpu-memory"
CONTAINER = "gpu-fraction-container-name"
RESERVED_GPU = "run.ai/reserve_for_gpu_index"
RESERVATION_NAMESPACES = frozenset({"kai-resource-reservation", "runai-reservation"})
"""Where KAI and Run:ai keep the pods that hold GPUs for those who share them."""

_GPU = re.compile(r"GPU-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def fractions_of(pod: Mapping[str, Any]) -> tuple[GpuFraction, ...]:
    """The parts of GPUs that a pod's object tells of, whoever gave them."""
    if pod["metadata"].get("namespace") in RESERVATION_NAMESPACES:
        return ()
    return (*_hami(pod), *_kai(pod), *_volcano(pod), *_aliyun(pod))


def reservation_of(pod: Mapping[str, Any]) -> tuple[str, str]:
    """
    For which group a pod holds a GPU as a scheduler's placeholder, and which GPU; both empty if it is none.

    Older schedulers wrote the GPU's index where it is a UUID now; that is not told, as the kubelet lists the GPU.
    """
    metadata = pod["metadata"]
    group = (metadata.get("labels") or {}).get(GROUP, "")
    if not group or metadata.get("namespace") not in RESERVATION_NAMESPACES:
        return "", ""
    gpu = (metadata.get("annotations") or {}).get(RESERVED_GPU, "")
    return group, gpu if _GPU.fullmatch(gpu) else ""


def _hami(pod: Mapping[str, Any]) -> Iterator[GpuFraction]:
    """
    ``UUID,type,MiB,cores:`` for each device, ``;`` after each container; an empty entry is a container without one.

    Init containers come first since HAMi counts them; where they were not counted the number of entries shows it.
    """
    value = _annotations(pod).get(HAMI, "")
    if not value:
        return
    entries = value.split(";")
    if not entries[-1]:
        del entries[-1]
    spec = pod.get("spec") or {}
    inits, mains = _names(spec, "initContainers"), _names(spec, "containers")
    names = next((each for each in (inits + mains, mains) if len(each) == len(entries)), None)
    for number, entry in enumerate(entries):
        for device in entry.split(":"):
            uuid, _, rest = device.partition(",")
            fields = rest.split(",")
            # On a partitioned GPU HAMi writes the number of a template behind the UUID: an instance, no part.
            if _GPU.fullmatch(uuid) and len(fields) >= 3:
                yield GpuFraction(
                    names[number] if names else "",
                    uuid,
                    memory_bytes=_whole(fields[1]) * _MIB,
                    cores_ppm=min(_whole(fields[2]) * _PERCENT_PPM, PPM),
                )


def _kai(pod: Mapping[str, Any]) -> Iterator[GpuFraction]:
    """One label names the group of one GPU; a pod on several GPUs has a label for each, named after its group."""
    labels, annotations = pod["metadata"].get("labels") or {}, _annotations(pod)
    groups = [value for key, value in sorted(labels.items()) if key == GROUP or key.startswith(f"{GROUP}/")]
    for group in dict.fromkeys(groups):
        yield GpuFraction(
            annotations.get(CONTAINER, ""),
            group=group,
            memory_bytes=_whole(annotations.get(MEMORY, "")) * _MIB,
            share_ppm=_share(annotations.get(SHARE, "")),
        )


def _volcano(pod: Mapping[str, Any]) -> Iterator[GpuFraction]:
    """One annotation for the whole pod; the containers' limits say how many MiB each asked for."""
    index = _annotations(pod).get(VOLCANO_INDEX, "")
    if not _is_number(index):
        return
    for container in (pod.get("spec") or {}).get("containers") or ():
        limits = (container.get("resources") or {}).get("limits") or {}
        if VOLCANO_MEMORY in limits:
            memory = _whole(str(limits[VOLCANO_MEMORY])) * _MIB
            yield GpuFraction(container["name"], memory_bytes=memory, gpu_index=int(index))


def _aliyun(pod: Mapping[str, Any]) -> Iterator[GpuFraction]:
    annotations = _annotations(pod)
    index = annotations.get(ALIYUN_INDEX, "")
    units, all_units = (
        _whole(annotations.get(ALIYUN_UNITS, "")),
        _whole(annotations.get(ALIYUN_ALL_UNITS, "")),
    )
    if _is_number(index):
        share = min(units * PPM // all_units, PPM) if all_units else 0
        yield GpuFraction(share_ppm=share, gpu_index=int(index))


def _annotations(pod: Mapping[str, Any]) -> Mapping[str, str]:
    return pod["metadata"].get("annotations") or {}


def _names(spec: Mapping[str, Any], group: str) -> list[str]:
    return [container["name"] for container in spec.get(group) or ()]


def _whole(text: str) -> int:
    return int(text) if _is_number(text) else 0


def _is_number(text: str) -> bool:
    """Annotations are as long as their owner likes; no count of anything here has more digits."""
    return text.isdecimal() and len(text) <= _MOST_DIGITS


def _share(text: str) -> int:
    try:
        share = Decimal(text)
    except InvalidOperation:
        return 0
    return int(share * PPM) if share.is_finite() and 0 < share <= 1 else 0
