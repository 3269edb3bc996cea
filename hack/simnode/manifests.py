"""What an API server says of a scenario's cluster: objects as JSON has them, without versions. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from simnode import cgroups, draws
from simnode.kube_store import Manifest
from simnode.kubelet import RESOURCE
from simnode.world import Cluster, Container, Namespace, Node, Owner, Pod

KUBELET_VERSION = "v1.35.8"
OWNER_API_VERSIONS = {
    "Deployment": "apps/v1",
    "ReplicaSet": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "Job": "batch/v1",
}
RUNTIME_SCHEMES = {"containerd": "containerd", "crio": "cri-o", "docker": "docker"}
# What makes a pod's QoS class, and so the shape of its cgroup path.
REQUESTS = {
    cgroups.GUARANTEED: ({"cpu": "4", "memory": "16Gi"}, {"cpu": "4", "memory": "16Gi"}),
    cgroups.BURSTABLE: ({"cpu": "1", "memory": "4Gi"}, {}),
    cgroups.BEST_EFFORT: ({}, {}),
}
TEMPLATE_HASH_LENGTH = 10

PENDING, RUNNING, ENDED = "Pending", "Running", "Succeeded"


class Manifests:
    """The objects of one cluster; `start_unix_ns` is the simulation's start."""

    def __init__(self, cluster: Cluster, seed: int, start_unix_ns: int) -> None:
        self._cluster = cluster
        self._seed = seed
        self._start_unix_ns = start_unix_ns
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

    def node(self, node: Node, boot_id: str) -> Manifest:
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
        devices = str(sum(gpu.replicas for gpu in node.gpus))
        resources = {"cpu": "64", "memory": "512Gi", "pods": "110", RESOURCE: devices}
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
                    "containerRuntimeVersion": f"{RUNTIME_SCHEMES[node.cgroup.runtime]}://2.1.0",
                    "kubeletVersion": KUBELET_VERSION,
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

    def pod(self, node: Node, pod: Pod, phase: str, leaving: bool = False) -> Manifest:
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
        if owner is not None:
            metadata["ownerReferences"] = [owner]
        if leaving and pod.end_ns is not None:
            metadata["deletionTimestamp"] = self._time(pod.end_ns)
            metadata["deletionGracePeriodSeconds"] = 0
        status: Manifest = {
            "phase": phase,
            "qosClass": cgroups.qos_class(pod),
            "hostIP": self._host_ip(node),
            "startTime": started,
            "conditions": self._conditions(started, phase),
            "containerStatuses": [self._container_status(node, pod, c, phase) for c in pod.containers],
        }
        if phase == RUNNING:
            status["podIP"] = self._pod_ip(node, pod)
        return {
            "metadata": metadata,
            "spec": {
                "nodeName": node.name,
                "restartPolicy": "Never" if pod.owner and pod.owner.kind == "Job" else "Always",
                "containers": [self._container(node, pod, container) for container in pod.containers],
            },
            "status": status,
        }

    def _container(self, node: Node, pod: Pod, container: Container) -> Manifest:
        requests, limits = (dict(amounts) for amounts in REQUESTS[cgroups.qos_class(pod)])
        held = sum(len(node.gpus[hold.gpu].device_ids(hold)) for hold in container.holds)
        if held:
            requests[RESOURCE] = limits[RESOURCE] = str(held)
        return {
            "name": container.name,
            "image": f"registry.example/{container.name}:1",
            "resources": {"requests": requests, "limits": limits},
        }

    def _container_status(self, node: Node, pod: Pod, container: Container, phase: str) -> Manifest:
        status: dict[str, Any] = {
            "name": container.name,
            "image": f"registry.example/{container.name}:1",
            "imageID": "",
            "lastState": {},
            "ready": phase == RUNNING,
            "started": phase == RUNNING,
            "restartCount": 0,
        }
        if phase == PENDING:
            status["state"] = {"waiting": {"reason": "ContainerCreating"}}
            return status
        container_id = f"{RUNTIME_SCHEMES[node.cgroup.runtime]}://{container.id}"
        status["containerID"] = container_id
        started = self._time(pod.start_ns)
        if phase == RUNNING or pod.end_ns is None:
            status["state"] = {"running": {"startedAt": started}}
        else:
            status["state"] = {
                "terminated": {
                    "exitCode": 0,
                    "reason": "Completed",
                    "startedAt": started,
                    "finishedAt": self._time(pod.end_ns),
                    "containerID": container_id,
                }
            }
        return status

    def _conditions(self, started: str, phase: str) -> list[Manifest]:
        ready = "True" if phase == RUNNING else "False"
        states = {"PodScheduled": "True", "Initialized": "True", "ContainersReady": ready, "Ready": ready}
        return [
            {"type": name, "status": status, "lastProbeTime": None, "lastTransitionTime": started}
            for name, status in states.items()
        ]

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
        index = node.pods.index(pod)
        return f"10.{128 + self._cluster.nodes.index(node) % 128}.{index // 250}.{index % 250 + 1}"

    def _time(self, offset_ns: int) -> str:
        """RFC 3339 in whole seconds, cut and not rounded, as Kubernetes prints it."""
        seconds = (self._start_unix_ns + offset_ns) // 1_000_000_000
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
