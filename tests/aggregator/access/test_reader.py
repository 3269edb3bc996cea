"""What a reader's question is narrowed to, and whose word on a reader is taken."""

from ipaddress import ip_network

import pytest
from gpucost.trouble import Reject

from gpucost_aggregator.access.reader import EVERYTHING, Reader
from gpucost_aggregator.access.readers import Proxy

SOME = Reader("some", ("east", "west"), ("chat", "research"))


def test_a_filter_within_a_readers_part_is_kept() -> None:
    assert SOME.narrow((), ()) == (("east", "west"), ("chat", "research"))
    assert SOME.narrow(("west",), ("chat",)) == (("west",), ("chat",))
    assert EVERYTHING.narrow(("west",), ()) == (("west",), ())


@pytest.mark.parametrize("asked", [(("north",), ()), (("east", "north"), ()), ((), ("chat", "secret"))])
def test_a_filter_beyond_it_is_refused(asked: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    with pytest.raises(Reject, match="you may not see"):
        SOME.narrow(*asked)


@pytest.mark.parametrize(
    ("address", "is_trusted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("11.1.2.3", False),
        ("::ffff:11.1.2.3", False),
        ("fd00::7", True),
        ("fe80::7", False),
        ("", False),
        (None, False),
        ("proxy", False),
    ],
)
def test_a_proxy_is_known_by_its_address_however_it_is_written(address: str | None, is_trusted: bool) -> None:
    assert Proxy((ip_network("10.0.0.0/8"), ip_network("fd00::/8"))).is_trusted(address) is is_trusted
