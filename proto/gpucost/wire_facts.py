"""Facts of pods and GPUs <-> protobuf."""

from gpucost.facts import GpuFacts, WorkloadFacts
from gpucost.trouble import Reject
from gpucost.v1 import ledger_pb2
from gpucost.wire_bounds import MAX_LABELS, MAX_NAME_BYTES, bounded_name


def workload_to_message(facts: WorkloadFacts) -> ledger_pb2.WorkloadFacts:
    """The message for *facts*."""
    return ledger_pb2.WorkloadFacts(
        namespace=facts.namespace,
        pod=facts.pod,
        pod_uid=facts.pod_uid,
        valid_from_ns=facts.valid_from_ns,
        labels=facts.labels,
        annotations=facts.annotations,
        owner_kind=facts.owner_kind,
        owner_name=facts.owner_name,
    )


def workload_from_message(message: ledger_pb2.WorkloadFacts) -> WorkloadFacts:
    """What *message* says of a pod; a Reject where it passes a bound."""
    if len(message.labels) + len(message.annotations) > MAX_LABELS:
        raise Reject(
            f"pod {message.pod[:MAX_NAME_BYTES]} brings more than {MAX_LABELS} labels and annotations"
        )
    return WorkloadFacts(
        bounded_name(message.namespace, "namespace"),
        bounded_name(message.pod, "pod"),
        bounded_name(message.pod_uid, "pod_uid"),
        message.valid_from_ns,
        {bounded_name(key, "label"): bounded_name(value, "label") for key, value in message.labels.items()},
        {
            bounded_name(key, "annotation"): bounded_name(value, "annotation")
            for key, value in message.annotations.items()
        },
        bounded_name(message.owner_kind, "owner_kind"),
        bounded_name(message.owner_name, "owner_name"),
    )


def gpu_to_message(facts: GpuFacts) -> ledger_pb2.GpuFacts:
    """The message for *facts*."""
    return ledger_pb2.GpuFacts(
        gpu_uuid=facts.gpu_uuid,
        model=facts.model,
        memory_bytes=facts.memory_bytes or 0,
        instance_type=facts.instance_type,
        region=facts.region,
        valid_from_ns=facts.valid_from_ns,
    )


def gpu_from_message(message: ledger_pb2.GpuFacts) -> GpuFacts:
    """What *message* says of a GPU; a Reject where it passes a bound."""
    return GpuFacts(
        bounded_name(message.gpu_uuid, "gpu_uuid"),
        bounded_name(message.model, "model"),
        message.memory_bytes or None,
        bounded_name(message.instance_type, "instance_type"),
        bounded_name(message.region, "region"),
        message.valid_from_ns,
    )
