"""What the aggregator does not know yet of pods and GPUs: facts travel once, and once per change."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from gpucost.cost_slice import CostSlice
from gpucost.facts import GpuFacts, WorkloadFacts
from gpucost.identity import HolderKind
from gpucost.price_book import GpuContext
from gpucost.units import NS_PER_HOUR

from gpucost_agent.readings import Gpu, Pod


class News:
    """Remembers what was told. Everything is told again hourly, and after ``tell_again``."""

    def __init__(self) -> None:
        self._told: dict[object, object] = {}
        self._told_all_at_ns: int | None = None

    def tell_again(self) -> None:
        """The next batch brings everything: a new stream may end at another store."""
        self._told.clear()

    def of(self, slices: Iterable[CostSlice], pods: Iterable[Pod], at_ns: int) -> tuple[WorkloadFacts, ...]:
        """Facts of the pods in *slices* that are new or have changed."""
        if self._told_all_at_ns is None or at_ns - self._told_all_at_ns >= NS_PER_HOUR:
            self.tell_again()
            self._told_all_at_ns = at_ns
        holders = {
            (row.key.holder.namespace, row.key.holder.pod)
            for row in slices
            if row.key.holder.kind is HolderKind.CONTAINER
        }
        facts = [_facts(pod, at_ns) for pod in pods if (pod.namespace, pod.name) in holders]
        return tuple(fact for fact in facts if self._is_new((fact.pod_uid,), replace(fact, valid_from_ns=0)))

    def of_gpus(
        self, gpus: Iterable[Gpu], contexts: Mapping[str, GpuContext], at_ns: int
    ) -> tuple[GpuFacts, ...]:
        """Facts of GPUs that are new or have changed; *contexts* by UUID."""
        facts = [
            GpuFacts(
                gpu.uuid,
                gpu.model,
                gpu.memory_bytes,
                contexts[gpu.uuid].instance_type,
                contexts[gpu.uuid].region,
                at_ns,
            )
            for gpu in gpus
        ]
        return tuple(fact for fact in facts if self._is_new(fact.gpu_uuid, replace(fact, valid_from_ns=0)))

    def _is_new(self, key: object, fact: object) -> bool:
        if self._told.get(key) == fact:
            return False
        self._told[key] = fact
        return True


def _facts(pod: Pod, at_ns: int) -> WorkloadFacts:
    return WorkloadFacts(
        pod.namespace,
        pod.name,
        pod.uid,
        at_ns,
        dict(pod.labels),
        dict(pod.annotations),
        pod.owner_kind,
        pod.owner_name,
    )
