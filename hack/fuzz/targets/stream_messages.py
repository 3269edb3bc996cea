"""What an agent sends: Hello and batches, as the aggregator reads them."""

import tracemalloc
from collections.abc import Callable

from google.protobuf.message import DecodeError, Message
from gpucost.trouble import Reject
from gpucost.units import NS_PER_HOUR, NS_PER_SECOND
from gpucost.v1 import stream_pb2
from gpucost.wire import BatchContent, batch_from_message, batch_to_message
from hypothesis import strategies as st

from fuzz.drawing import changed
from fuzz.shapes import see_typed
from fuzz.target import Breach, Target, holds
from fuzz.targets.batches import (
    MAX_LABELS,
    MAX_MESSAGE_BYTES,
    MAX_NAME_BYTES,
    MINUTE_NS,
    NODE,
    NOW_NS,
    TOKENS,
    UUID,
    amounts,
    batch_bytes,
    large,
    names,
)
from gpucost_aggregator.ingest.greeting import check_window, read_hello
from gpucost_aggregator.ingest.intake import Taken, batch_sha256, take_batch
from gpucost_aggregator.store.slice_columns import slice_arrays

FUTURE_NS = 300 * NS_PER_SECOND
GOOD_HELLO = stream_pb2.FromNode(
    hello=stream_pb2.Hello(
        role=1, cluster=NODE.cluster, node=NODE.node, epoch="e", next_sequence_number=1, window_ns=MINUTE_NS
    )
)
GREETING = read_hello(GOOD_HELLO)

BASE_BYTES = 24 << 20
BYTES_OF_A_BYTE = 16
"""
What reading a message of N bytes may take: the first, and N times the second. A slice that is read takes some
kilobytes however short its message is, so that as many as a batch may have are the first.
"""


def check_batch(data: bytes) -> bool:
    """A batch is refused by Reject, or says what its message says, and comes back as the same values and bytes."""
    message = _read(stream_pb2.Batch.FromString, data)
    if message is None:
        return False
    try:
        content = batch_from_message(message, NODE)
    except Reject:
        return False
    see_typed(content)
    holds(batch_from_message(message, NODE) == content, "read twice, a batch says two things")
    _see_said(message, content)
    again = batch_to_message(content)
    holds(
        batch_from_message(again, NODE) == content,
        "a batch that is written and read again says something else",
    )
    canonical = again.SerializeToString(deterministic=True)
    twice = batch_to_message(batch_from_message(again, NODE)).SerializeToString(deterministic=True)
    holds(twice == canonical, "the same values are not the same bytes")
    return True


def _see_said(message: stream_pb2.Batch, content: BatchContent) -> None:
    """Each number of each slice is the one of the message, looked up by nobody's code but this."""
    table = message.table
    said = ["", *table.names]
    holds(len(content.slices) == len(table.slices), "slices were lost")
    for raw, row in zip(table.slices, content.slices, strict=True):
        holder, price, device = table.holders[raw.holder], table.prices[raw.price], table.devices[raw.device]
        pairs = [
            ("node", row.key.node, NODE),
            ("reserved", row.time.reserved_ns, raw.reserved_ns),
            ("used", row.time.used_ns, raw.used_ns),
            ("idle", row.time.idle_ns, raw.idle_ns),
            ("unmeasured", row.time.unmeasured_ns, raw.unmeasured_ns),
            ("cost used", row.cost.used_nanodollars, raw.cost_used_nanodollars),
            ("cost idle", row.cost.idle_nanodollars, raw.cost_idle_nanodollars),
            ("cost unmeasured", row.cost.unmeasured_nanodollars, raw.cost_unmeasured_nanodollars),
            ("cost", row.cost.nanodollars, raw.cost_nanodollars),
            ("cost reserved", row.cost.reserved_nanodollars, raw.cost_reserved_nanodollars),
            ("watched", row.evidence.watched_ns, raw.watched_ns),
            ("samples", row.evidence.samples, raw.samples),
            ("method", row.evidence.method, said[raw.method]),
            ("flags", row.flags, tuple(said[flag] for flag in raw.flags)),
            ("resource", row.key.resource, raw.resource or "gpu"),
            ("window", row.key.window_start_ns, table.window_start_ns),
            ("length", row.length_ns, raw.length_ns if raw.HasField("length_ns") else table.length_ns),
            ("namespace", row.key.holder.namespace, said[holder.namespace]),
            ("pod", row.key.holder.pod, said[holder.pod]),
            ("container", row.key.holder.container, said[holder.container]),
            ("reason", row.key.holder.reason, said[holder.reason]),
            ("price source", row.price.source, price.source),
            ("gi", row.key.device.gi, device.gi if device.HasField("gi") else None),
            ("ci", row.key.device.ci, device.ci if device.HasField("ci") else None),
            (
                "price",
                row.price.nanodollars_per_hour,
                price.nanodollars_per_hour if price.HasField("nanodollars_per_hour") else None,
            ),
            ("energy", row.measures.energy_uj, raw.energy_uj if raw.HasField("energy_uj") else None),
        ]
        for what, read, written in pairs:
            holds(read == written, f"{what}: the message says {written!r:.80}, what was read {read!r:.80}")
        who, where = row.key.holder, row.key.device
        texts = (
            *row.flags,
            row.key.resource,
            where.gpu_uuid,
            where.profile,
            row.policy_version,
            row.price.date,
        )
        for name in (*texts, row.price.source, row.evidence.method, who.pod, who.pod_uid, who.reason):
            holds(len(name.encode()) <= MAX_NAME_BYTES, f"a name of {len(name.encode())} bytes came through")
    for facts in content.workloads:
        holds(len(facts.labels) + len(facts.annotations) <= MAX_LABELS, "more labels came through than may")
        for name in (facts.pod, *facts.labels, *facts.labels.values(), *facts.annotations.values()):
            holds(len(name.encode()) <= MAX_NAME_BYTES, f"a label of {len(name.encode())} bytes came through")


def check_intake(data: bytes) -> bool:
    """A batch is taken whole or set aside whole; each slice is good or refused, and what is good can be stored."""
    message = _read(stream_pb2.Batch.FromString, data)
    if message is None:
        return False
    try:
        taken, checked = take_batch(message, GREETING, NOW_NS)
    except Reject:
        holds(not 0 < message.sequence_number < 2**63, "a batch with a number was refused as a whole")
        return False
    batch = taken.batch
    holds(
        batch.sha256 == batch_sha256(stream_pb2.Batch.FromString(message.SerializeToString())), "two hashes"
    )
    holds(batch.closed_through_ns <= NOW_NS + FUTURE_NS, "books are closed through the future")
    _see_answer(taken, message)
    if checked is None:
        holds(batch.malformed is not None, "nothing was read, and nothing is malformed")
        return False
    answered = set() if taken.reject is None else {refused.slice for refused in taken.reject.refused}
    holds(
        len(batch.slices) + len(answered) >= len(message.table.slices), "a slice is neither good nor refused"
    )
    if batch.malformed is None:
        holds(len(batch.slices) + len(batch.refused) == len(message.table.slices), "slices were lost")
    slice_arrays(batch.slices)
    slice_arrays([refused.row for refused in batch.refused])
    for row in batch.slices:
        amounts = (
            row.length_ns,
            row.time.reserved_ns,
            row.time.charged_ns,
            row.cost.nanodollars,
            row.evidence.samples,
        )
        holds(min(amounts) >= 0, f"a negative amount is good: {row}")
        holds(max(amounts) < 2**63, f"a sum past 64 bits is good: {row}")
        holds(0 <= row.key.window_start_ns <= NOW_NS + FUTURE_NS, f"its window can not be: {row}")
    return bool(batch.slices)


def _see_answer(taken: Taken, message: stream_pb2.Batch) -> None:
    answer = taken.reject
    refused = set() if answer is None else {refused.slice for refused in answer.refused}
    if answer is not None:
        holds(answer.sequence_number == message.sequence_number, "the answer is about another batch")
        holds(refused, "a Reject refuses nothing")
        holds(
            answer.ByteSize() <= MAX_MESSAGE_BYTES, f"an answer of {answer.ByteSize()} bytes reaches nobody"
        )
    if taken.batch.malformed is None:
        holds(len(refused) == len(taken.batch.refused), "the answer and the store differ in what is refused")


def check_bounds(data: bytes) -> bool:
    """What a message of N bytes becomes is bounded by N, up to the columns that the store is handed."""
    message = _read(stream_pb2.Batch.FromString, data)
    if message is None:
        return False
    tracemalloc.start()
    try:
        taken, _ = take_batch(message, GREETING, NOW_NS)
        slice_arrays(taken.batch.slices)
        slice_arrays([refused.row for refused in taken.batch.refused])
        peak = tracemalloc.get_traced_memory()[1]
    except Reject:
        return False
    finally:
        tracemalloc.stop()
    most = BASE_BYTES + BYTES_OF_A_BYTE * len(data)
    holds(peak <= most, f"a message of {len(data)} bytes took {peak} bytes; {most} is the most")
    return taken.batch.malformed is None


hellos = st.builds(
    stream_pb2.Hello,
    role=st.sampled_from([0, 1, 1, 1, 2, 3]),
    cluster=names | st.just("prod"),
    cluster_uid=names,
    node=names | st.just("n1"),
    boot_id=names,
    version=names,
    epoch=names | st.just("e"),
    next_sequence_number=st.sampled_from([0, 1, 2**63, 2**64 - 1]),
    last_batch_sha256=st.sampled_from([b"", UUID * 2, UUID * 64]),
    window_ns=st.sampled_from(
        [MINUTE_NS, MINUTE_NS, 10 * NS_PER_SECOND, 7 * NS_PER_SECOND, 1, 0, -1, -(2**63)]
    ),
    clock_ns=amounts,
    price_book_version=names,
)
hello_bytes = st.one_of(
    hellos.map(lambda hello: stream_pb2.FromNode(hello=hello).SerializeToString()),
    changed([GOOD_HELLO.SerializeToString()], TOKENS),
    st.just(stream_pb2.FromNode(goodbye=stream_pb2.Goodbye(reason="x")).SerializeToString()),
)


def check_hello(data: bytes) -> bool:
    """A Hello is refused by Reject, or what comes of it is what it said, with names and windows that can be."""
    message = _read(stream_pb2.FromNode.FromString, data)
    if message is None:
        return False
    try:
        greeting = read_hello(message)
        if not greeting.is_watcher:
            check_window(greeting.window_ns, None)
    except Reject as trouble:
        holds(str(trouble), "a refusal says nothing")
        return False
    see_typed(greeting)
    hello, node = message.hello, greeting.agent.node
    holds((node.cluster, node.node) == (hello.cluster, hello.node), "it is somebody else")
    holds(greeting.is_watcher == (hello.role == stream_pb2.ROLE_CLUSTER_WATCHER), "it has another role")
    holds(greeting.next_sequence_number == hello.next_sequence_number, "it goes on with another number")
    for name in (node.cluster, node.node, greeting.agent.epoch, greeting.boot_id, greeting.version):
        holds(len(name.encode()) <= MAX_NAME_BYTES, f"a name of {len(name.encode())} bytes came through")
    holds(len(greeting.last_batch_sha256) <= MAX_NAME_BYTES, "a hash as long as its sender likes is kept")
    if not greeting.is_watcher:
        holds(node.cluster.strip() and node.node.strip() and greeting.agent.epoch.strip(), "a name is empty")
        holds(greeting.window_ns > 0 and NS_PER_HOUR % greeting.window_ns == 0, "windows do not fill an hour")
        _see_fleets(greeting.window_ns)
    return True


def _see_fleets(window_ns: int) -> None:
    """Windows are let into a fleet of the same windows only."""
    for fleet_ns in (MINUTE_NS, 10 * NS_PER_SECOND):
        try:
            check_window(window_ns, fleet_ns)
        except Reject:
            holds(window_ns != fleet_ns, "windows like the fleet's are refused")
        else:
            holds(window_ns == fleet_ns, "windows are not the fleet's")


def _read(parse: Callable[[bytes], Message], data: bytes):  # type: ignore[no-untyped-def]  # a message of either kind
    """What gRPC would hand over; None where it ends the stream instead."""
    try:
        return parse(data)
    except DecodeError:
        return None
    except Exception as error:
        raise Breach(f"protobuf itself: {error}") from error


_INTAKE = (
    "aggregator/gpucost_aggregator/ingest/intake.py",
    "aggregator/gpucost_aggregator/ingest/checks.py",
    "aggregator/gpucost_aggregator/ingest/bounds.py",
    "aggregator/gpucost_aggregator/store/slice_columns.py",
    "proto/gpucost/cost_slice.py",
)
_GREETING = ("aggregator/gpucost_aggregator/ingest/greeting.py", "proto/gpucost/window.py")
TARGETS = (
    Target(
        "batch",
        ("proto/gpucost/wire.py", "proto/gpucost/wire_bounds.py", "proto/gpucost/wire_facts.py"),
        batch_bytes,
        check_batch,
    ),
    Target("intake", (*_INTAKE, "proto/gpucost/wire.py"), batch_bytes, check_intake),
    Target("batch_size", ("proto/gpucost/wire.py", *_INTAKE), large, check_bounds),
    Target("hello", _GREETING, hello_bytes, check_hello),
)
