"""ResourceClaims of gpu.nvidia.com as the DRA driver prepares them on a node. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from simnode.device_plugin import Engine, engine
from simnode.pod_life import holding
from simnode.world import Claim, Container, Node, Pod

DRIVER = "gpu.nvidia.com"
CDI_KIND = f"k8s.{DRIVER}/claim"


@dataclass(frozen=True, slots=True)
class PreparedDevice:
    engine: Engine
    name: str
    request: str
    cdi_name: str

    @property
    def cdi_id(self) -> str:
        return f"{CDI_KIND}={self.cdi_name}"


@dataclass(frozen=True, slots=True)
class PreparedClaim:
    """*pods* refer to it now; *first* are those for which it was prepared, *since* then all that came."""

    claim: Claim
    devices: tuple[PreparedDevice, ...]
    pods: tuple[Pod, ...]
    first: tuple[Pod, ...]
    since: tuple[Pod, ...]


def prepared(node: Node, now_ns: int) -> list[PreparedClaim]:
    """The claims that are prepared at an instant: from the first pod that refers to them to the last."""
    now = holding(node, now_ns)
    found = []
    for claim in node.claims:
        since = _users_without_a_break(node, claim, now_ns)
        pods = tuple(pod for pod in since if pod in now)
        if pods:
            begin = since[0].start_ns
            first = tuple(pod for pod in since if pod.start_ns == begin)
            found.append(PreparedClaim(claim, _devices(node, claim, begin), pods, first, since))
    return found


def claims_of(node: Node, pod: Pod) -> tuple[Claim, ...]:
    """The claims of a pod, each once, in the order in which its containers name them."""
    found = {
        claim.uid: claim for container in pod.containers for claim in container_claims(node, pod, container)
    }
    return tuple(found.values())


def container_claims(node: Node, pod: Pod, container: Container) -> tuple[Claim, ...]:
    """A pod can refer to claims of its own namespace only."""
    return tuple(
        claim
        for name in container.claims
        for claim in node.claims
        if (claim.name, claim.namespace) == (name, pod.namespace)
    )


def device_name(meant: Engine) -> str:
    """By the minor number, as the driver names devices: index and minor may differ."""
    name = f"gpu-{meant.gpu.minor}"
    if meant.instance is None:
        return name
    profile = meant.instance.profile.replace(".", "").replace("+", "-")
    return f"{name}-mig-{profile}-{meant.instance.profile_id}-{meant.instance.start}"


def _users_without_a_break(node: Node, claim: Claim, now_ns: int) -> tuple[Pod, ...]:
    users = [pod for pod in node.pods if pod.start_ns <= now_ns and claim in claims_of(node, pod)]
    found: list[Pod] = []
    for pod in sorted(users, key=lambda pod: pod.start_ns):
        if not any((end := other.last_ns) is None or pod.start_ns < end for other in found):
            found.clear()
        found.append(pod)
    return tuple(found)


def _devices(node: Node, claim: Claim, at_ns: int) -> tuple[PreparedDevice, ...]:
    found = []
    for number, device in enumerate(claim.devices):
        meant = engine(node.gpus[device.gpu], device.gi, device.ci, at_ns)
        name = device_name(meant)
        found.append(PreparedDevice(meant, name, f"request-{number}", f"{claim.uid}-{name}"))
    return tuple(found)
