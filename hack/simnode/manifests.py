"""What an API server says of a scenario's cluster: objects as JSON has them, without versions. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from simnode import cgroups, device_plugin, draws, pod_status
from simnode.kube_store import Manifest
from simnode.pod_life import host_uid, is_static
from simnode.world import Cluster, Namespace, Node, Owner, Pod

OWNER_API_VERSIONS = {
    "Node": "v1",
    "Deployment": "apps/v1",
    "ReplicaSet": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "Job": "batch/v1",
}
TEMPLATE_HASH_LENGTH = 10


class Manifests:
    """
    The objects of one cluster; `start_unix_ns` is the simulation's start.

    `pod_ips` has the addresses of pods, by UID, that really answer somewhere.
    """

    def __init__(
        self,
        cluster: Cluster,
        seed: int,
        start_unix_ns: int,
        pod_ips: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._cluster = cluster
        self._seed = seed
        self._start_unix_ns = start_unix_ns
        self._pod_ips = pod_ips
        self._born = self._time(min(node.booted_ns for node in cluster.nodes))

    def namespace(self, namespace: Namespace) -> Manifest:
        labels = {"kubernetes.io/metadata.name": namespace.name, **namespace.labels}
        return {
            "metadata": {
                "name": namespace.name,
                "uid": namespace.uid,
                "creationTimestamp": self._born,
                "labels": labels,
            },
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        }

    def node(self, node: Node, boot_id: str, at_ns: int = 0) -> Manifest:
        labels = {
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": node.name,
            "kubernetes.io/os": "linux",
        }
        if node.instance_type is not None:
            labels["node.kubernetes.io/instance-type"] = node.instance_type
        if node.region is not None:
            labels["topology.kubernetes.io/region"] = node.region
        booted = self._time(node.booted_ns)
        resources = {"cpu": "64", "memory": "512Gi", "pods": "110", **device_counts(node, at_ns)}
        return {
            "metadata": {
                "name": node.name,
                "uid": node.uid,
                "creationTimestamp": booted,
                "labels": {**labels, **node.labels},
                "annotations": dict(node.annotations),
            },
            "spec": {"providerID": f"sim:///{self._cluster.name}/{node.name}"},
            "status": {
                "capacity": resources,
                "allocatable": resources,
                "conditions": [
                    {
                        "type": "Ready",
                        "status": "True",
                        "reason": "KubeletReady",
                        "message": "kubelet is posting ready status",
                        "lastHeartbeatTime": booted,
                        "lastTransitionTime": booted,
                    }
                ],
                "addresses": [
                    {"type": "InternalIP", "address": self._host_ip(node)},
                    {"type": "Hostname", "address": node.name},
                ],
                "nodeInfo": {
                    "machineID": node.uid.replace("-", ""),
                    "systemUUID": node.uid,
                    "bootID": boot_id,
                    "kernelVersion": "6.8.0",
                    "osImage": "Simulated Linux",
                    "containerRuntimeVersion": f"{pod_status.RUNTIME_SCHEMES[node.cgroup.runtime]}://2.1.0",
                    "kubeletVersion": f"v{node.kubelet.version}",
                    "kubeProxyVersion": "",
                    "operatingSystem": "linux",
                    "architecture": "amd64",
                },
            },
        }

    def replica_set(self, pod: Pod) -> Manifest | None:
        """The one between a pod and its Deployment."""
        if pod.owner is None or pod.owner.kind != "Deployment":
            return None
        name, template_hash = self._replica_set_name(pod, pod.owner)
        labels = {**pod.labels, "pod-template-hash": template_hash}
        return {
            "metadata": {
                "name": name,
                "namespace": pod.namespace,
                "uid": self._owner_uid("ReplicaSet", pod.namespace, name),
                "creationTimestamp": self._born,
                "labels": labels,
                "ownerReferences": [self._reference("Deployment", pod.namespace, pod.owner.name)],
            },
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}},
            "status": {"replicas": 1},
        }

    def pod(self, node: Node, pod: Pod, at_ns: int | None, leaving: bool = False) -> Manifest:
        """A pod at an instant; None: it was admitted, and nothing of it has been started."""
        labels = dict(pod.labels)
        owner: Manifest | None = None
        if pod.owner is not None and pod.owner.kind == "Deployment":
            name, labels["pod-template-hash"] = self._replica_set_name(pod, pod.owner)
            owner = self._reference("ReplicaSet", pod.namespace, name)
        elif pod.owner is not None:
            owner = self._reference(pod.owner.kind, pod.namespace, pod.owner.name)
        started = self._time(pod.start_ns)
        metadata: Manifest = {
            "name": pod.name,
            "namespace": pod.namespace,
            "uid": pod.uid,
            "creationTimestamp": started,
            "labels": labels,
            "annotations": dict(pod.annotations),
        }
        if is_static(pod):
            # What the API server has is the mirror of a file on the node.
            metadata["annotations"].setdefault("kubernetes.io/config.mirror", host_uid(pod))
            metadata["annotations"].setdefault("kubernetes.io/config.source", "file")
            owner = {**self._reference("Node", "", node.name), "uid": node.uid}
        if owner is not None:
            metadata["ownerReferences"] = [owner]
        if leaving and pod.end_ns is not None:
            metadata["deletionTimestamp"] = self._time(pod.end_ns)
            metadata["deletionGracePeriodSeconds"] = 0
        phase = pod_status.phase(pod, at_ns)
        status: Manifest = {
            "phase": phase,
            "qosClass": cgroups.qos_class(pod),
            "hostIP": self._host_ip(node),
            "startTime": started,
            "conditions": pod_status.conditions(pod, at_ns, self._time),
            **pod_status.statuses(node, pod, at_ns, self._time),
        }
        if at_ns is not None:
            status["podIP"] = self._pod_ip(node, pod)
            status["podIPs"] = [{"ip": status["podIP"]}]
        return {"metadata": metadata, "spec": pod_status.spec(node, pod), "status": status}

    def _replica_set_name(self, pod: Pod, owner: Owner) -> tuple[str, str]:
        """A pod that is named as a ReplicaSet names its pods says the hash itself; otherwise it is drawn."""
        stem, _, _ = pod.name.rpartition("-")
        template_hash = stem.removeprefix(f"{owner.name}-")
        if template_hash == stem or "-" in template_hash or not template_hash:
            path = f"{self._cluster.path}/namespaces/{pod.namespace}/deployments/{owner.name}"
            template_hash = draws.hexadecimal(self._seed, path, "hash")[:TEMPLATE_HASH_LENGTH]
        return f"{owner.name}-{template_hash}", template_hash

    def _reference(self, kind: str, namespace: str, name: str) -> Manifest:
        return {
            "apiVersion": OWNER_API_VERSIONS[kind],
            "kind": kind,
            "name": name,
            "uid": self._owner_uid(kind, namespace, name),
            "controller": True,
            "blockOwnerDeletion": True,
        }

    def _owner_uid(self, kind: str, namespace: str, name: str) -> str:
        path = f"{self._cluster.path}/namespaces/{namespace}/{kind}/{name}"
        return draws.lower_uuid(self._seed, path, "uid")

    def _host_ip(self, node: Node) -> str:
        index = self._cluster.nodes.index(node)
        return f"10.0.{index // 250}.{index % 250 + 1}"

    def _pod_ip(self, node: Node, pod: Pod) -> str:
        if pod.uid in self._pod_ips:
            return self._pod_ips[pod.uid]
        if pod.host_network:
            return self._host_ip(node)
        index = node.pods.index(pod)
        return f"10.{128 + self._cluster.nodes.index(node) % 128}.{index // 250}.{index % 250 + 1}"

    def _time(self, offset_ns: int) -> str:
        """RFC 3339 in whole seconds, cut and not rounded, as Kubernetes prints it."""
        seconds = (self._start_unix_ns + offset_ns) // 1_000_000_000
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def device_counts(node: Node, at_ns: int) -> dict[str, str]:
    """Devices by resource; one that a plugin offered once stays, as zero."""
    earlier = {layout.at_ns for gpu in node.gpus for layout in gpu.layouts if layout.at_ns <= at_ns}
    instants = sorted({min(0, at_ns), *earlier})
    known = {device.resource for at in instants for device in device_plugin.advertised(node, at)}
    counts = Counter(device.resource for device in device_plugin.advertised(node, at_ns))
    return {resource: str(counts[resource]) for resource in sorted(known | counts.keys())}
