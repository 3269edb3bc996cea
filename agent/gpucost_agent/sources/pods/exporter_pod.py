"""Where dcgm-exporter answers on this node, from its pod's object: pure."""

from collections.abc import Mapping
from typing import Any

_APPS = frozenset({"nvidia-dcgm-exporter", "dcgm-exporter"})
_PORT_NAME = "metrics"
_PORT = 9400


def exporter_url(pod: Mapping[str, Any]) -> str:
    """The address of its metrics; empty if the pod is no dcgm-exporter, or does not run."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    labels = metadata.get("labels") or {}
    # The chart of the exporter sets the first label, the GPU operator the second.
    if labels.get("app.kubernetes.io/name") != "dcgm-exporter" and labels.get("app") not in _APPS:
        return ""
    address = status.get("podIP") or ""
    if not address or status.get("phase") != "Running" or metadata.get("deletionTimestamp"):
        return ""
    ports = [
        port.get("containerPort")
        for container in (pod.get("spec") or {}).get("containers") or ()
        for port in container.get("ports") or ()
        if port.get("name") == _PORT_NAME
    ]
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{next(iter(ports), None) or _PORT}/metrics"
