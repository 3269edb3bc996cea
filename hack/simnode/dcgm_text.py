"""The page of a dcgm-exporter: DCGM's values with the labels of the pods that the kubelet lists. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from simnode import dcgm_fields, dra_claims
from simnode.dcgm_values import Entity
from simnode.device_plugin import engines
from simnode.dra_claims import DRIVER, claims_of
from simnode.kubelet_answers import listed_pods
from simnode.pod_life import present
from simnode.world import Dcgm, Node

Labels = tuple[tuple[str, str], ...]
Place = tuple[int, int | None]
"""A GPU's index, and the GPU instance if it is partitioned."""

_GKE = re.compile(r"nvidia(\d+)(?:/gi(\d+))?(?:/vgpu(\d+))?")
_NUMBERED = re.compile(r"(GPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-(\d+)")


@dataclass(frozen=True, slots=True)
class Holder:
    """*replica* is what the exporter calls a virtual GPU; *claim* has the labels of a claim's device."""

    namespace: str
    pod: str
    pod_uid: str
    container: str
    replica: str | None = None
    claim: Labels = ()


def page(node: Node, dcgm: Dcgm, entities: Sequence[Entity], now_ns: int) -> str:
    by_place = holders(node, now_ns)
    lines = []
    for field in dcgm_fields.FIELDS:
        name = field.name(dcgm.names)
        series = []
        for entity in entities:
            value = entity.values[field]
            if value is None and not dcgm.sentinels:
                continue
            for labels in _series(node, dcgm, entity, by_place.get((entity.gpu, entity.gi), [])):
                written = ",".join(f'{key}="{text}"' for key, text in labels)
                series.append(f"{name}{{{written}}} {field.text(value)}")
        if series:
            lines += [f"# HELP {name} {field.meaning}", f"# TYPE {name} {field.kind}", *series]
    return "".join(f"{line}\n" for line in lines)


def holders(node: Node, now_ns: int) -> dict[Place, list[Holder]]:
    """Who holds what, as far as the exporter understands the kubelet's ids."""
    uuids: dict[str, Place] = {gpu.uuid: (gpu.index, None) for gpu in node.gpus}
    for gpu in node.gpus:
        for engine in engines(gpu, now_ns):
            uuids[engine.uuid] = (gpu.index, engine.gi)
    uids = {(pod.namespace, pod.name): pod.uid for pod in present(node, now_ns)}
    found: dict[Place, list[Holder]] = defaultdict(list)
    for pod in listed_pods(node, now_ns):
        uid = uids[pod.namespace, pod.name]
        for container in pod.containers:
            for resource, id_ in dict.fromkeys((device.resource, device.id) for device in container.devices):
                place, replica = _place(resource, id_, uuids)
                if place is not None:
                    found[place].append(Holder(pod.namespace, pod.name, uid, container.name, replica))
    for place, holder in _of_claims(node, now_ns):
        found[place].append(holder)
    return found


def _place(resource: str, id_: str, uuids: dict[str, Place]) -> tuple[Place | None, str | None]:
    if resource != "nvidia.com/gpu" and not resource.startswith("nvidia.com/mig-"):
        # Renamed resources such as nvidia.com/gpu.shared are dropped, as the real exporter does by default.
        return None, None
    if gke := _GKE.fullmatch(id_):
        # The number in the id is a minor, and the exporter takes it for DCGM's own number of a GPU.
        gi = int(gke[2]) if gke[2] else None
        return (int(gke[1]), gi), gke[3]
    if numbered := _NUMBERED.fullmatch(id_):
        return uuids.get(numbered[1]), numbered[2]
    whole, separator, replica = id_.partition("::")
    return uuids.get(whole), replica if separator else None


def _of_claims(node: Node, now_ns: int) -> Iterator[tuple[Place, Holder]]:
    for prepared in dra_claims.prepared(node, now_ns):
        claim = prepared.claim
        for pod in prepared.pods:
            for container in pod.containers:
                if claim.name not in container.claims or claim not in claims_of(node, pod):
                    continue
                for device in prepared.devices:
                    labels = {
                        "dra_claim_name": claim.name,
                        "dra_claim_namespace": claim.namespace,
                        "dra_device_name": device.name,
                        "dra_driver_name": DRIVER,
                    }
                    engine = device.engine
                    if engine.instance is not None and engine.compute is not None:
                        labels["dra_mig_device_uuid"] = engine.compute.uuid
                        labels["dra_mig_profile"] = engine.instance.profile
                    labels["dra_pool_name"] = node.name
                    who = Holder(
                        pod.namespace, pod.name, pod.uid, container.name, None, tuple(labels.items())
                    )
                    yield (engine.gpu.index, engine.gi), who


def _series(node: Node, dcgm: Dcgm, entity: Entity, held: list[Holder]) -> Iterator[Labels]:
    """
    One for each virtual GPU, all with the same value; otherwise one, with the labels of whom it knows last.

    A sum over the pods of a shared GPU is therefore a multiple of what it did.
    """
    own = tuple(_own_labels(node, dcgm, entity))
    shared = [holder for holder in held if holder.replica is not None]
    chosen: Iterable[Holder] = shared or held[-1:]
    empty = True
    for holder in chosen:
        empty = False
        yield own + tuple(_pod_labels(dcgm, holder))
    if empty:
        yield own + (_no_pod() if dcgm.labels == "old" else ())


def _own_labels(node: Node, dcgm: Dcgm, entity: Entity) -> Iterator[tuple[str, str]]:
    gpu, old = node.gpus[entity.gpu], dcgm.labels == "old"
    yield "gpu", str(gpu.index)
    yield "uuid" if old else "UUID", gpu.uuid
    yield "pci_bus_id", f"00000000:{0x10 + 3 * gpu.index:02X}:00.0"
    yield "device", f"nvidia{gpu.index}"
    yield "modelName", gpu.model
    if entity.gi is not None:
        yield "GPU_I_PROFILE", entity.profile
        yield "GPU_I_ID", str(entity.gi)
    yield "Hostname" if old else "hostname", node.name
    yield "DCGM_FI_DRIVER_VERSION", node.driver.version


def _pod_labels(dcgm: Dcgm, holder: Holder) -> Iterator[tuple[str, str]]:
    old = dcgm.labels == "old"
    yield "container_name" if old else "container", holder.container
    yield "pod_namespace" if old else "namespace", holder.namespace
    yield "pod_name" if old else "pod", holder.pod
    if not old:
        if holder.replica is not None:
            yield "pod_uid", holder.pod_uid
        yield from holder.claim
    if holder.replica is not None:
        yield "vgpu", holder.replica


def _no_pod() -> Labels:
    """Old exporters name nobody with empty labels, new ones with none."""
    return (("container_name", ""), ("pod_namespace", ""), ("pod_name", ""))
