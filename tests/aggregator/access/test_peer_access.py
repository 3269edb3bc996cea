"""Who is another aggregator: by the token that all of them have, and no other; without one, from loopback alone."""

from pathlib import Path

import pytest
from gpucost.trouble import Retry

from gpucost_aggregator.access.peer_access import MOST_TOKENS, PeerAccess, PeerTokens
from gpucost_aggregator.access.refusal import Refused
from gpucost_aggregator.access.tokens import LONGEST_TOKEN

OLD, NEW = "old-token-" * 3, "new-token-" * 3


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "peers-token"
    file.write_text(f"{NEW}\n{OLD}\n")
    return file


def test_the_first_is_shown_and_each_is_taken_also_after_a_change(file: Path) -> None:
    tokens = PeerTokens(file)
    access = PeerAccess(is_served=True, tokens=tokens)
    assert tokens.shown() == NEW
    for token in (OLD, NEW):
        access.identify(bearer(token), "10.0.0.7")
    file.write_text(NEW)
    access.identify(bearer(NEW), "10.0.0.7")
    with pytest.raises(Refused):
        access.identify(bearer(OLD), "10.0.0.7")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer(""),
        bearer(NEW[:-1]),
        bearer(f"{NEW}x"),
        bearer(f"{NEW}\n{OLD}"),
        bearer("\udcff" * 30),
        bearer("é" * 30),
        bearer("x" * (LONGEST_TOKEN + 1)),
        {"X-Forwarded-User": "aggregator", "X-Forwarded-For": "127.0.0.1"},
    ],
)
@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7"])
def test_whoever_has_it_not_is_refused_wherever_they_are(
    file: Path, headers: dict[str, str], address: str
) -> None:
    with pytest.raises(Refused) as trouble:
        PeerAccess(is_served=True, tokens=PeerTokens(file)).identify(headers, address)
    assert NEW not in f"{trouble.value} {trouble.value.detail}"


@pytest.mark.parametrize(
    ("address", "is_let_in"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.7", False),
        ("10.0.0.7", False),
        ("fe80::1", False),
        ("localhost", False),
        ("", False),
        (None, False),
    ],
)
def test_without_a_token_it_is_whoever_is_on_this_machine(address: str | None, is_let_in: bool) -> None:
    access = PeerAccess(is_served=True)
    if is_let_in:
        access.identify({}, address)
        return
    with pytest.raises(Refused):
        access.identify({}, address)


def test_where_there_are_no_others_nobody_is_one(file: Path) -> None:
    for access in (PeerAccess(), PeerAccess(tokens=PeerTokens(file))):
        with pytest.raises(Refused):
            access.identify(bearer(NEW), "127.0.0.1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds 0 tokens"),
        (" \n", "holds 0 tokens"),
        ("\n".join([NEW] * (MOST_TOKENS + 1)), "holds 5 tokens"),
        ("short", "20 characters or more"),
        (f"{NEW}\nshort", "20 characters or more"),
        ("é" * 30, "something else than tokens"),
        ("x" * (LONGEST_TOKEN + 1), "something else than tokens"),
    ],
)
def test_a_file_that_holds_something_else_lets_nobody_in(file: Path, text: str, words: str) -> None:
    file.write_text(text)
    tokens = PeerTokens(file)
    with pytest.raises(Retry, match=words) as trouble:
        tokens.shown()
    assert "short" not in str(trouble.value)
    with pytest.raises(Refused, match="only other aggregators") as refused:
        PeerAccess(is_served=True, tokens=tokens).identify(bearer(NEW), "127.0.0.1")
    assert "--peers-token-file" in refused.value.detail


def test_a_file_that_is_not_there_lets_nobody_in(tmp_path: Path) -> None:
    tokens = PeerTokens(tmp_path / "absent")
    with pytest.raises(Retry, match="can not be read"):
        tokens.shown()
    with pytest.raises(Refused):
        PeerAccess(is_served=True, tokens=tokens).identify(bearer(NEW), "127.0.0.1")
    assert PeerTokens().shown() == ""
