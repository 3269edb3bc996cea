"""Inputs too large for the corpus: what they may not become."""

import pytest
from gpucost.trouble import Reject
from gpucost.v1 import ledger_pb2, stream_pb2

from fuzz.targets.batches import NODE, good_batch
from gpucost_aggregator.ingest.checks import MAX_SLICES
from gpucost_aggregator.ingest.intake import MAX_FLAGS, MAX_NAMES, read_batch

MANY = {
    "devices": (ledger_pb2.Device(gpu_name="g"), MAX_SLICES),
    "holders": (ledger_pb2.Holder(kind=2), MAX_SLICES),
    "prices": (ledger_pb2.Price(), MAX_SLICES),
    "names": ("n", MAX_NAMES),
}


@pytest.mark.parametrize("what", MANY)
def test_a_list_of_a_table_is_bounded(what: str) -> None:
    part, most = MANY[what]
    batch = stream_pb2.Batch(sequence_number=1, table=ledger_pb2.Table(**{what: [part] * most}))
    read_batch(batch, NODE)
    getattr(batch.table, what).append(part) if isinstance(part, str) else getattr(
        batch.table, what
    ).add().CopyFrom(part)
    with pytest.raises(Reject, match=f"{most + 1} {what} in one batch; {most} is the most"):
        read_batch(batch, NODE)


def test_the_flags_of_a_slice_are_bounded() -> None:
    batch = good_batch()
    del batch.table.slices[0].flags[:]
    batch.table.slices[0].flags.extend([4] * MAX_FLAGS)
    assert len(read_batch(batch, NODE)[0].slices[0].flags) == MAX_FLAGS
    batch.table.slices[0].flags.append(4)
    with pytest.raises(Reject, match="65 flags of one slice; 64 is the most"):
        read_batch(batch, NODE)
