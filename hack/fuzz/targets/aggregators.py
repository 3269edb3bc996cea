"""What aggregators hear of each other: their nodes' glimpses, and a Lease that anybody in its namespace may write."""

import json

from gpucost.peers_wire import glimpses_from_bytes, glimpses_to_bytes
from gpucost.trouble import Reject, Retry
from gpucost.units import NS_PER_SECOND
from gpucost.v1 import peers_pb2
from hypothesis import strategies as st

from fuzz.drawing import changed, json_inputs
from fuzz.shapes import see_typed
from fuzz.target import Target, holds, text_of
from fuzz.targets.batches import MAX_NAME_BYTES, TOKENS, amounts, names
from gpucost_aggregator.leases.lease_record import parse_lease

DAY_NS = 86_400 * NS_PER_SECOND

glimpses = st.lists(
    st.builds(
        peers_pb2.Glimpse,
        cluster=names,
        node=names,
        taken_at_ns=amounts,
        age_ns=amounts,
        table=st.binary(max_size=8),
    ),
    max_size=3,
)
messages = st.builds(peers_pb2.Glimpses, replica=names, interval_ns=amounts, glimpses=glimpses)
SAMPLE = glimpses_to_bytes("replica-1", 8, [])
glimpse_bytes = st.one_of(messages.map(lambda each: each.SerializeToString()), changed([SAMPLE], TOKENS))


def check_glimpses(data: bytes) -> bool:
    """Glimpses are refused by Reject, or are those of the message but for such as can not be, which are counted."""
    try:
        found = glimpses_from_bytes(data)
    except Reject:
        return False
    see_typed(found)
    said = peers_pb2.Glimpses.FromString(data)
    holds((found.replica, found.interval_ns) == (said.replica, said.interval_ns), f"{found} is not {said}")
    holds(len(found.glimpses) + found.unreadable == len(said.glimpses), "one is neither read nor counted")
    for each in found.glimpses:
        holds(each.age_ns >= 0, f"{each} came in the future")
        for name in (each.node.cluster, each.node.node):
            holds(0 < len(name.encode()) <= MAX_NAME_BYTES, "a name is empty, or passes the bound")
    read = [
        (each.node.cluster, each.node.node, each.age_ns, each.taken_at_ns, each.table)
        for each in found.glimpses
    ]
    told = [(each.cluster, each.node, each.age_ns, each.taken_at_ns, each.table) for each in said.glimpses]
    holds([each for each in told if each in read] == read, "they are others, or in another order")
    again = glimpses_from_bytes(glimpses_to_bytes(found.replica, found.interval_ns, found.glimpses))
    holds(again.glimpses == found.glimpses and not again.unreadable, "written and read again they differ")
    return True


leases = st.fixed_dictionaries(
    {"metadata": st.fixed_dictionaries({"resourceVersion": st.just("7")})},
    optional={
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "holderIdentity": st.sampled_from(["", "one", "\ud800", None]),
                "leaseDurationSeconds": st.sampled_from([15, 1, 0, -1, 2**31, 1.5, True, None]),
                "leaseTransitions": st.sampled_from([0, 3, -1, 2**31, None]),
                "renewTime": st.just("2026-11-21T08:00:00.000000Z"),
                "strategy": st.just("Other"),
            },
        )
        | st.none()
    },
)
lease_bytes = json_inputs(leases)


def check_lease(data: bytes) -> bool:
    """A Lease is refused by Retry, or says who has it, for a day at most; what others wrote stays in it."""
    try:
        found = json.loads(text_of(data))
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, dict):
        return False
    try:
        record = parse_lease(found)
    except Retry:
        return False
    record.holder.encode()
    holds(0 <= record.duration_ns <= DAY_NS, f"nobody takes it for {record.duration_ns} ns")
    spec = found.get("spec") or {}
    holds(record.holder == (spec.get("holderIdentity") or ""), f"{record.holder!r} is not its holder")
    for written, holder in ((record.taken("me", 0), "me"), (record.left(0), "")):
        again = parse_lease({"metadata": found["metadata"], "spec": written})
        holds(again.holder == holder, f"{holder!r} has written {again.holder!r}")
        holds(written.get("strategy") == spec.get("strategy"), "what others wrote is gone")
    return True


TARGETS = (
    Target("glimpses", ("proto/gpucost/peers_wire.py",), glimpse_bytes, check_glimpses),
    Target("leases", ("aggregator/gpucost_aggregator/leases/lease_record.py",), lease_bytes, check_lease),
)
