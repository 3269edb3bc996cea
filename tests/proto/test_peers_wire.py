"""What aggregators tell each other survives its message; what passes a bound is left out, and takes nothing along."""

import pytest
from gpucost.identity import NodeId
from gpucost.peers_wire import ToldGlimpse, ToldGlimpses, glimpses_from_bytes, glimpses_to_bytes
from gpucost.trouble import Reject
from gpucost.v1 import peers_pb2
from gpucost.wire import MAX_NAME_BYTES
from hypothesis import given
from hypothesis import strategies as st

names = st.text(alphabet="abz09-.é", min_size=1, max_size=40)
glimpses = st.builds(
    ToldGlimpse,
    st.builds(NodeId, names, names),
    st.integers(-(2**62), 2**62),
    st.integers(0, 2**62),
    st.binary(max_size=60),
)
GOOD = ToldGlimpse(NodeId("east", "node-1"), 7, 3, b"\xff")


@given(names, st.integers(1, 2**62), st.lists(glimpses, max_size=5).map(tuple))
def test_it_survives(replica: str, interval_ns: int, told: tuple[ToldGlimpse, ...]) -> None:
    encoded = glimpses_to_bytes(replica, interval_ns, told)
    assert glimpses_from_bytes(encoded) == ToldGlimpses(replica, interval_ns, told)


@pytest.mark.parametrize(
    "bad",
    [
        ToldGlimpse(NodeId("", "node-1"), 7, 3, b""),
        ToldGlimpse(NodeId("east", ""), 7, 3, b""),
        ToldGlimpse(NodeId("east", "n" * (MAX_NAME_BYTES + 1)), 7, 3, b""),
        ToldGlimpse(NodeId("e" * (MAX_NAME_BYTES + 1), "n"), 7, 3, b""),
        ToldGlimpse(NodeId("east", "node-2"), 7, -1, b""),
    ],
)
def test_a_glimpse_that_can_not_be_is_left_out_alone(bad: ToldGlimpse) -> None:
    assert glimpses_from_bytes(glimpses_to_bytes("r", 1, [bad, GOOD])) == ToldGlimpses("r", 1, (GOOD,), 1)


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\xff\xff\xff",
        b"<html>",
        glimpses_to_bytes("", 1, [GOOD]),
        glimpses_to_bytes("r", 0, [GOOD]),
        glimpses_to_bytes("r" * (MAX_NAME_BYTES + 1), 1, [GOOD]),
    ],
)
def test_what_is_no_such_message_is_refused(encoded: bytes) -> None:
    with pytest.raises(Reject):
        glimpses_from_bytes(encoded)


def test_a_newer_aggregator_may_say_more() -> None:
    unknown = b"\xa2\x06\x03new"  # field 100, a text
    assert glimpses_from_bytes(glimpses_to_bytes("r", 1, [GOOD]) + unknown).glimpses == (GOOD,)
    assert peers_pb2.Glimpses.FromString(unknown).replica == ""
