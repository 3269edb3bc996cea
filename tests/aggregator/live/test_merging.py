"""Of a node that two boards tell of, the younger word counts."""

from gpucost.identity import NodeId
from hypothesis import given
from hypothesis import strategies as st

from gpucost_aggregator.live.board import Glimpse
from gpucost_aggregator.live.merging import younger

ONE, OTHER = NodeId("east", "node-1"), NodeId("west", "node-1")
boards = st.lists(
    st.dictionaries(
        st.sampled_from([NodeId(cluster, node) for cluster in "ab" for node in "xyz"]),
        st.integers(-5, 5),
        max_size=6,
    ),
    max_size=4,
)


def a_glimpse(node: NodeId, received_ns: int, table: bytes = b"") -> Glimpse:
    return Glimpse(node, table, 0, received_ns)


def test_the_younger_one_and_of_equals_the_own() -> None:
    own = [a_glimpse(ONE, 5, b"own"), a_glimpse(OTHER, 5, b"own")]
    told = [a_glimpse(ONE, 6, b"told"), a_glimpse(OTHER, 5, b"told")]
    assert [each.table for each in younger(own, told)] == [b"told", b"own"]
    assert [each.table for each in younger(told, own)] == [b"told", b"told"]


@given(boards)
def test_each_node_once_in_order_and_the_latest(found: list[dict[NodeId, int]]) -> None:
    merged = younger(*([a_glimpse(node, at) for node, at in board.items()] for board in found))
    assert [each.node for each in merged] == sorted({node for board in found for node in board})
    for each in merged:
        assert each.received_ns == max(board[each.node] for board in found if each.node in board)
