"""Batches as agents send them, nearly so, and not at all."""

from google.protobuf.message import Message
from gpucost.identity import NodeId
from gpucost.units import NS_PER_HOUR, NS_PER_SECOND
from gpucost.v1 import ledger_pb2, stream_pb2
from hypothesis import strategies as st

from fuzz.drawing import changed

NODE = NodeId("prod", "gpu-node-1")
MINUTE_NS = 60 * NS_PER_SECOND
START_NS = 490_000 * NS_PER_HOUR
NOW_NS = START_NS + 10 * MINUTE_NS
MAX_NAME_BYTES, MAX_LABELS, MAX_MESSAGE_BYTES = 512, 64, 16 << 20
"""As the wire's rules say, whatever the code does."""
UUID = bytes(range(16))

numbers = st.sampled_from([0, 1, 2, 59, 60_000, 2**31 - 1, 2**32 - 1])
places = st.sampled_from([0, 0, 0, 1, 2, 3, 2**32 - 1])
amounts = st.sampled_from([0, 1, MINUTE_NS // 2, MINUTE_NS, NS_PER_HOUR, 2**62, 2**63 - 1, -1, -(2**63)])
names = st.sampled_from(
    ["", "a", "chat", "llama-0", "é", "\u2028", "\0", "a b", "x" * 512, "x" * 513, "GPU-7"]
)


def _some(
    message: type[Message], chance: int = 2, **parts: st.SearchStrategy[object]
) -> st.SearchStrategy[object]:
    """*message* with some of its *parts*; the others are absent."""
    chosen = {name: st.one_of(*[part] * chance, st.just(None)) for name, part in parts.items()}
    return st.fixed_dictionaries(chosen).map(
        lambda given: message(**{name: value for name, value in given.items() if value is not None})
    )


devices = st.one_of(
    _some(
        ledger_pb2.Device,
        gpu_uuid=st.sampled_from([UUID, UUID, UUID[::-1], b"", b"short"]),
        gi=numbers,
        ci=numbers,
        profile=names,
        placement=numbers,
    ),
    _some(ledger_pb2.Device, 5, gpu_name=names),
    st.just(ledger_pb2.Device(gpu_uuid=UUID)),
)
holders = st.one_of(
    _some(
        ledger_pb2.Holder,
        4,
        kind=st.sampled_from([1, 1, 1, 2, 3, 4, 5, 6, 99, -1]),
        reason=places,
        namespace=places,
        pod=places,
        pod_uuid=st.sampled_from([UUID, b"", b"short"]),
        container=places,
    ),
    _some(ledger_pb2.Holder, 4, kind=st.just(1), namespace=places, pod=places, pod_uid=names),
    st.just(ledger_pb2.Holder(kind=ledger_pb2.HOLDER_KIND_UNALLOCATED)),
)
prices = _some(ledger_pb2.Price, nanodollars_per_hour=amounts, source=names, date=names)


@st.composite
def slices(draw: st.DrawFn) -> ledger_pb2.Slice:
    parts = [draw(st.sampled_from([0, 1, 5, 2**61, -1])) if draw(st.booleans()) else 0 for _ in range(3)]
    right = draw(st.integers(0, 9))
    rest = draw(
        _some(
            ledger_pb2.Slice,
            1,
            resource=names,
            length_ns=amounts,
            reserved_ns=amounts,
            used_ns=amounts,
            idle_ns=amounts,
            unmeasured_ns=amounts,
            cost_reserved_nanodollars=amounts,
            method=places,
            watched_ns=amounts,
            samples=numbers,
            weight_numerator=numbers,
            weight_denominator=numbers,
            memory_held_bytes_max=amounts,
            sm_active_ns=amounts,
            tensor_active_ns=amounts,
            dram_active_ns=amounts,
            energy_uj=amounts,
            requests=amounts,
            flags=st.lists(places, max_size=3),
        )
    )
    assert isinstance(rest, ledger_pb2.Slice)
    rest.device, rest.holder, rest.price = draw(places), draw(places), draw(places)
    rest.cost_used_nanodollars, rest.cost_idle_nanodollars, rest.cost_unmeasured_nanodollars = parts
    rest.cost_nanodollars = sum(parts) if right else draw(st.sampled_from([0, 1, -1]))
    return rest


tables = st.builds(
    ledger_pb2.Table,
    window_start_ns=st.sampled_from([START_NS, START_NS, START_NS + 1, 0, -1, 2**63 - 1, -(2**63)]),
    length_ns=st.sampled_from([MINUTE_NS, MINUTE_NS, 0, -1, 2**63 - 1]),
    policy_version=st.sampled_from(["2026-11", "", "x" * 513]),
    names=st.lists(names, min_size=1, max_size=4),
    devices=st.lists(devices, min_size=1, max_size=3),
    holders=st.lists(holders, min_size=1, max_size=3),
    prices=st.lists(prices, min_size=1, max_size=3),
    slices=st.lists(slices(), max_size=5),
)
maps = st.dictionaries(names, names, max_size=3) | st.just({f"label-{n}": "x" for n in range(MAX_LABELS)})
batches = st.builds(
    stream_pb2.Batch,
    sequence_number=st.sampled_from([1, 1, 1, 7, 0, 2**63 - 1, 2**63, 2**64 - 1]),
    table=tables,
    workloads=st.lists(
        st.builds(
            ledger_pb2.WorkloadFacts,
            namespace=names,
            pod=names,
            pod_uid=names,
            valid_from_ns=amounts,
            labels=maps,
            annotations=maps,
            owner_kind=names,
            owner_name=names,
        ),
        max_size=2,
    ),
    gpus=st.lists(
        st.builds(
            ledger_pb2.GpuFacts,
            gpu_uuid=names,
            model=names,
            memory_bytes=amounts,
            region=names,
            valid_from_ns=amounts,
        ),
        max_size=2,
    ),
    price_book_version=names,
    closed_through_ns=st.sampled_from([0, START_NS + MINUTE_NS, -1, 2**63 - 1, -(2**63)]),
)


def good_batch() -> stream_pb2.Batch:
    """A batch with which nothing is wrong."""
    used, idle = MINUTE_NS // 3, MINUTE_NS - MINUTE_NS // 3
    row = ledger_pb2.Slice(
        reserved_ns=MINUTE_NS,
        used_ns=used,
        idle_ns=idle,
        cost_used_nanodollars=3,
        cost_idle_nanodollars=6,
        cost_nanodollars=9,
        cost_reserved_nanodollars=9,
        method=3,
        watched_ns=MINUTE_NS,
        samples=359,
        flags=[4],
    )
    table = ledger_pb2.Table(
        window_start_ns=START_NS,
        length_ns=MINUTE_NS,
        policy_version="2026-11",
        names=["chat", "llama-0", "ring", "shared", "server"],
        devices=[ledger_pb2.Device(gpu_uuid=UUID)],
        holders=[ledger_pb2.Holder(kind=1, namespace=1, pod=2, pod_uuid=UUID, container=5)],
        prices=[ledger_pb2.Price(nanodollars_per_hour=540, source="book:lab", date="2026-10-01")],
        slices=[row],
    )
    facts = ledger_pb2.WorkloadFacts(namespace="chat", pod="llama-0", pod_uid="u", labels={"app": "llama"})
    gpu = ledger_pb2.GpuFacts(gpu_uuid="GPU-x", model="NVIDIA L4", memory_bytes=1 << 34)
    return stream_pb2.Batch(
        sequence_number=1, table=table, workloads=[facts], gpus=[gpu], closed_through_ns=START_NS + MINUTE_NS
    )


SAMPLE = good_batch().SerializeToString()
TOKENS = (
    b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x12\x00",
    b"\x42\x02\x08\x01",
    b"\xff" * 11,
    b"\x0b\x0c",
)


@st.composite
def nearly_good(draw: st.DrawFn) -> bytes:
    """A good batch of which one to three fields, of any of its parts, say something else."""
    batch = good_batch()
    table = batch.table
    parts = [batch, table, table, table, batch.workloads[0], batch.gpus[0]]
    parts += [
        getattr(table, name)[0] for name in ("slices", "slices", "slices", "devices", "holders", "prices")
    ]
    for _ in range(draw(st.integers(1, 3))):
        part = draw(st.sampled_from(parts))
        field = draw(st.sampled_from([each for each in part.DESCRIPTOR.fields if each.message_type is None]))
        values = {field.CPPTYPE_STRING: names, field.CPPTYPE_UINT32: numbers | places}.get(
            field.cpp_type, amounts
        )
        if field.type == field.TYPE_BYTES:
            values = st.sampled_from([UUID, UUID[::-1], b"", b"short"])
        elif field.name == "window_start_ns":
            values = st.sampled_from([START_NS + 1, 0, -1, NOW_NS + 1_000 * NS_PER_SECOND, 2**62, 2**63 - 1])
        elif field.cpp_type == field.CPPTYPE_UINT64:
            values = st.sampled_from([1, 0, 2**63 - 1, 2**63])
        elif field.cpp_type == field.CPPTYPE_ENUM:
            values = st.sampled_from([1, 2, 5, 6, -1])
        if field.is_repeated:
            getattr(part, field.name)[:] = draw(st.lists(values, max_size=6))
        else:
            setattr(part, field.name, draw(values))
    return batch.SerializeToString()


batch_bytes = st.one_of(
    nearly_good(),
    nearly_good(),
    batches.map(lambda batch: batch.SerializeToString()),
    batches.map(lambda batch: batch.SerializeToString()),
    changed([SAMPLE], TOKENS),
    st.binary(max_size=60),
)


def _many(part: ledger_pb2.Table, count: int) -> bytes:
    """A good batch whose table has *count* times more of what *part* has one of."""
    repeated = part.SerializeToString() * count
    return SAMPLE + b"\x12" + _varint(len(repeated)) + repeated


def _with_flags(count: int) -> bytes:
    """A good batch whose one slice has *count* flags of the longest name."""
    batch = good_batch()
    batch.table.names.append("f" * MAX_NAME_BYTES)
    batch.table.slices[0].flags.extend([len(batch.table.names)] * count)
    return batch.SerializeToString()


def _varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


_counts = st.sampled_from([0, 1, 100, 9_999, 10_001, 200_000, 1_000_000])
_PARTS = (
    ledger_pb2.Table(devices=[ledger_pb2.Device(gpu_name="g")]),
    ledger_pb2.Table(holders=[ledger_pb2.Holder(kind=2)]),
    ledger_pb2.Table(prices=[ledger_pb2.Price()]),
    ledger_pb2.Table(names=["n"]),
    ledger_pb2.Table(slices=[ledger_pb2.Slice()]),
)
large = st.one_of(
    st.builds(_many, st.sampled_from(_PARTS), _counts),
    st.builds(_with_flags, _counts),
    batches.map(lambda batch: batch.SerializeToString()),
)
