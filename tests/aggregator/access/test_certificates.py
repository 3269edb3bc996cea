"""Which clusters, and which node, the names in a certificate stand for."""

import pytest

from gpucost_aggregator.access.caller import Shown
from gpucost_aggregator.access.certificates import certificate_caller

MAPPED = {"agents.example": frozenset({"east", "west"}), "nobody.example": frozenset[str]()}


@pytest.mark.parametrize(
    ("names", "clusters", "node"),
    [
        (("east",), {"east"}, ""),
        (("east", "west"), {"east", "west"}, ""),
        (("agents.example",), {"east", "west"}, ""),
        (("nobody.example",), set(), ""),
        (("spiffe://d/ns/x/cluster/east",), {"east"}, ""),
        (("spiffe://d/cluster/a%2Fb/node/n%201",), {"a/b"}, "n 1"),
        (("spiffe://d/cluster/east/node/n", "spiffe://d/cluster/east/node/m"), set(), "m"),
        (("spiffe://d/cluster/east/pod/p",), set(), ""),
        (("https://east",), set(), ""),
    ],
)
def test_names_stand_for_what_they_say_and_mapped_ones_for_nothing_else(
    names: tuple[str, ...], clusters: set[str], node: str
) -> None:
    caller = certificate_caller(Shown(names=names), MAPPED)
    assert caller.clusters == clusters
    assert caller.node == node
    assert caller.may_watch is (not node)
