"""Facts of pods and GPUs on their way into the store; a label set stands there once."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from gpucost_aggregator.store.duckdb_arriving import arriving
from gpucost_aggregator.store.rows import AcceptedBatch
from gpucost_aggregator.store.slice_columns import Array, numbers, texts

_AsArray = Callable[[Sequence[Any]], Array]
_WORKLOADS: dict[str, _AsArray] = {
    "cluster": texts,
    "namespace": texts,
    "pod": texts,
    "pod_uid": texts,
    "valid_from_ns": numbers,
    "labels_id": numbers,
    "annotations_id": numbers,
    "owner_kind": texts,
    "owner_name": texts,
    "received_at_ns": numbers,
}
_GPUS: dict[str, _AsArray] = {
    "cluster": texts,
    "gpu_uuid": texts,
    "valid_from_ns": numbers,
    "model": texts,
    "memory_bytes": numbers,
    "instance_type": texts,
    "region": texts,
    "received_at_ns": numbers,
}


@dataclass(slots=True)
class LabelSets:
    """
    Numbers of the label sets that are in the store; the one writer's memory of its own table.

    New ones count only once their transaction is through: call `keep` then, `drop` where it failed.
    """

    known: dict[str, int] = field(default_factory=dict)
    new: dict[str, int] = field(default_factory=dict)

    def number_of(self, labels: Mapping[str, str]) -> int:
        """The number of *labels*, a new one where they were never seen."""
        content = json.dumps(dict(labels), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        number = self.known.get(content)
        if number is None:
            number = self.new.setdefault(content, len(self.known) + len(self.new) + 1)
        return number

    def keep(self) -> None:
        """The transaction is durable."""
        self.known |= self.new
        self.new.clear()

    def drop(self) -> None:
        """The transaction is gone."""
        self.new.clear()


def write_facts(
    connection: duckdb.DuckDBPyConnection, batches: Sequence[AcceptedBatch], label_sets: LabelSets
) -> None:
    """What *batches* say of pods and GPUs, where it does not stand there already."""
    pods = dict.fromkeys(
        (
            *(batch.agent.node.cluster, facts.namespace, facts.pod, facts.pod_uid, facts.valid_from_ns),
            *(label_sets.number_of(facts.labels), label_sets.number_of(facts.annotations)),
            *(facts.owner_kind, facts.owner_name, batch.received_at_ns),
        )
        for batch in batches
        for facts in batch.workloads
    )
    gpus = dict.fromkeys(
        (
            *(batch.agent.node.cluster, facts.gpu_uuid, facts.valid_from_ns, facts.model, facts.memory_bytes),
            *(facts.instance_type, facts.region, batch.received_at_ns),
        )
        for batch in batches
        for facts in batch.gpus
    )
    if label_sets.new:
        sets = [(number, content) for content, number in label_sets.new.items()]
        _insert_facts(connection, "label_sets", {"label_set_id": numbers, "content": texts}, sets)
    _insert_facts(connection, "workloads", _WORKLOADS, pods)
    _insert_facts(connection, "gpus", _GPUS, gpus)


def _insert_facts(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    shape: Mapping[str, _AsArray],
    rows: Iterable[tuple[Any, ...]],
) -> None:
    # Facts are sent again on every new stream and every hour: what stands there already is left as it is.
    listed = list(rows)
    if not listed:
        return
    columns = {
        name: as_array(column)
        for (name, as_array), column in zip(shape.items(), zip(*listed, strict=True), strict=True)
    }
    said = [name for name in shape if name != "received_at_ns"]
    alike = " AND ".join(f"s.{name} IS NOT DISTINCT FROM a.{name}" for name in said)
    with arriving(connection, columns):
        connection.execute(
            f"INSERT INTO {table} BY NAME FROM arriving a WHERE NOT EXISTS (FROM {table} s WHERE {alike})"
        )
