"""A batch survives its message, and stays small."""

from dataclasses import replace
from uuid import UUID

import pytest
from gpucost.cost_slice import Cost, CostSlice, Evidence, GpuTime, Measures, Price, SliceKey
from gpucost.facts import GpuFacts, WorkloadFacts
from gpucost.identity import HOST, REMAINDER, UNALLOCATED, Device, Holder, HolderKind, NodeId, unobserved
from gpucost.trouble import Reject
from gpucost.v1 import ledger_pb2, stream_pb2
from gpucost.wire import BatchContent, WindowSlices, batch_from_message, batch_to_message, readable_part
from hypothesis import given
from hypothesis import strategies as st

NODE = NodeId("prod-us", "gpu-node-17.internal")
MINUTE = 60_000_000_000
START = 1_790_000_040_000_000_000

amounts = st.integers(0, 2**62)
known = st.none() | amounts
texts = st.text(alphabet="abz09-./é", max_size=40)
uuids = st.builds(lambda n: str(UUID(int=n)), st.integers(0, 2**128 - 1))
devices = st.one_of(
    st.builds(Device, uuids.map("GPU-".__add__)),
    st.builds(Device, st.just("GPU-odd")),
    st.builds(
        Device,
        st.just("GPU-mig"),
        st.integers(0, 13),
        st.none() | st.integers(0, 7),
        st.just("3g.40gb"),
        st.integers(0, 7),
    ),
    st.just(Device("GPU-mig", profile=REMAINDER)),
)
holders = st.one_of(
    st.sampled_from([HOST, UNALLOCATED, unobserved("agent_gap")]),
    st.builds(Holder, st.just(HolderKind.CONTAINER), texts, texts, uuids | texts, texts),
)


@st.composite
def slices(draw: st.DrawFn) -> CostSlice:
    return CostSlice(
        key=SliceKey(NODE, draw(devices), draw(st.sampled_from(["gpu", "cpu"])), draw(holders), START),
        length_ns=draw(st.sampled_from([MINUTE, 37])),
        time=GpuTime(*(draw(amounts) for _ in range(4))),
        cost=Cost(*(draw(st.integers(0, 2**60)) for _ in range(4))),
        price=Price(draw(known), draw(texts), draw(texts)),
        evidence=Evidence(draw(texts), draw(amounts), draw(st.integers(0, 2**31))),
        measures=Measures(*(draw(known) for _ in range(6))),
        weight=draw(st.sampled_from([(1, 1), (1, 4), (0, 1), (15, 14)])),
        flags=tuple(draw(st.lists(texts, max_size=3))),
        policy_version="p1",
    )


@given(st.lists(slices(), max_size=6))
def test_a_batch_comes_back_as_it_was(rows: list[CostSlice]) -> None:
    content = BatchContent(
        7,
        WindowSlices(START, MINUTE, tuple(rows)),
        (WorkloadFacts("chat", "p", "u", 5, {"app": "x"}, {"gpucost.dev/model": "m"}, "Deployment", "d"),),
        (GpuFacts("GPU-odd", "NVIDIA H100 80GB HBM3", 81559 << 20, "p5.48xlarge", "us-east-1", 3),),
        START + MINUTE,
        "book-1",
    )
    sent = batch_to_message(content).SerializeToString()
    assert batch_from_message(stream_pb2.Batch.FromString(sent), NODE) == content


@pytest.mark.parametrize(("holders_count", "most_bytes"), [(8, 2048), (64, 12 * 1024)])
def test_exclusive_holders_stay_small(holders_count: int, most_bytes: int) -> None:
    rows = tuple(
        CostSlice(
            key=SliceKey(
                NODE,
                Device(f"GPU-{UUID(int=2**127 + n)}"),
                "gpu",
                Holder(
                    HolderKind.CONTAINER,
                    f"team-{n % 8}",
                    f"llama-3-70b-server-7c9f5d6b8-x{n:04d}",
                    str(UUID(int=2**126 + n)),
                    "server",
                ),
                START,
            ),
            length_ns=MINUTE,
            time=GpuTime(MINUTE, 41_234_567_891 + n, MINUTE - 41_234_567_891 - n, 0),
            cost=Cost(70_000_001, 41_666_666, 0, 114_666_667),
            price=Price(6_880_000_000, "catalogue", "2026-07-20"),
            evidence=Evidence("ring", MINUTE, 359),
            measures=Measures(memory_held_bytes_max=72 << 30, energy_uj=39_000_000_000),
            policy_version="2026-11",
        )
        for n in range(holders_count)
    )
    content = BatchContent(1_000_000, WindowSlices(START, MINUTE, rows), (), (), START + MINUTE, "2026-11-01")
    assert batch_to_message(content).ByteSize() < most_bytes


def good_table() -> ledger_pb2.Table:
    row = CostSlice(
        SliceKey(NODE, Device("GPU-x"), "gpu", UNALLOCATED, START),
        MINUTE,
        GpuTime(MINUTE, 0, MINUTE),
        Cost(0, 5),
        Price(1),
    )
    return batch_to_message(BatchContent(1, WindowSlices(START, MINUTE, (row,)))).table


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: setattr(t.slices[0], "device", 9), "slice 0: device is number 9 of 1"),
        (lambda t: setattr(t.slices[0], "holder", 1), "holder is number 1 of 1"),
        (lambda t: setattr(t.slices[0], "method", 4), "method is number 4 of"),
        (lambda t: setattr(t.slices[0], "cost_nanodollars", 4), "not the sum of its parts"),
        (lambda t: setattr(t.holders[0], "kind", 77), "update the aggregator first"),
        (lambda t: setattr(t.devices[0], "gpu_uuid", b"short"), "has 5 bytes, not 16"),
        (lambda t: t.devices[0].ClearField("gpu"), "names no GPU"),
        (lambda t: t.names.append("x" * 600), "512 is the most"),
    ],
)
def test_what_can_not_be_is_refused_in_words(spoil, words: str) -> None:  # type: ignore[no-untyped-def]
    table = good_table()
    spoil(table)
    with pytest.raises(Reject, match=words):
        batch_from_message(stream_pb2.Batch(sequence_number=1, table=table), NODE)


def test_one_window_follows_one_policy() -> None:
    row = CostSlice(
        SliceKey(NODE, Device("GPU-x"), "gpu", UNALLOCATED, START),
        MINUTE,
        GpuTime(MINUTE, 0, MINUTE),
        Cost(),
        Price(),
    )
    window = WindowSlices(START, MINUTE, (row, replace(row, policy_version="other")))
    with pytest.raises(ValueError, match="several policies"):
        batch_to_message(BatchContent(1, window))


@pytest.mark.parametrize("part", ["device", "holder", "price", "method"])
def test_a_bad_slice_does_not_take_the_others_along(part: str) -> None:
    table = good_table()
    table.slices.append(table.slices[0])
    setattr(table.slices[0], part, 99)
    content, unreadable = readable_part(stream_pb2.Batch(sequence_number=1, table=table), NODE)
    assert len(content.slices) == 1
    assert [each.slice for each in unreadable] == [0]
    assert f"{part} is number 99" in unreadable[0].reason


def test_a_bad_entry_costs_only_the_slices_that_name_it() -> None:
    table = good_table()
    table.slices.append(table.slices[0])
    table.holders.append(ledger_pb2.Holder(kind=77))  # type: ignore[arg-type]  # of a version to come
    table.slices[1].holder = 1
    pods = [{"pod": "good"}, {"pod": "x" * 600}]
    message = stream_pb2.Batch(sequence_number=1, table=table, workloads=pods)  # type: ignore[arg-type]
    content, unreadable = readable_part(message, NODE)
    assert len(content.slices) == 1
    assert [facts.pod for facts in content.workloads] == ["good"]
    assert {each.slice for each in unreadable} == {None, 1}
