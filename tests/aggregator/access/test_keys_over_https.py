"""An issuer's keys come over https from the one who is trusted, and nobody can hold us up on the way."""

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from gpucost.trouble import Reject, Retry
from gpucost.units import NS_PER_SECOND
from gpucost.yaml_marks import parse_yaml

from contracts.certificates import Authority, Pair
from contracts.guarded_streams import Doors, Guarded, play_at
from contracts.ledger_rows import AGENT
from contracts.serving_streams import NOW_NS
from contracts.tls_stage import Script, listening, saying
from gpucost_aggregator.access.exchange import MOST_BYTES, Question, answer_to
from gpucost_aggregator.access.signing_keys import REFETCH_NS, SigningKeys
from gpucost_aggregator.access.writers_file import Accounts, Issuer, Writers, parse_writers

ACCOUNTS = Accounts(AGENT.node.cluster, frozenset({"gpucost:agent"}))


@dataclass(frozen=True)
class Signer:
    key: rsa.RSAPrivateKey

    @property
    def published(self) -> bytes:
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return json.dumps({"keys": [{**jwk, "kid": "one"}]}).encode()

    def token(self) -> str:
        until = NOW_NS // NS_PER_SECOND + 600
        subject = "system:serviceaccount:gpucost:agent"
        body = {"iss": "https://issuer.example", "aud": ["gpucost"], "sub": subject, "exp": until}
        return jwt.encode(body, self.key, "RS256", headers={"kid": "one"})


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer(rsa.generate_private_key(public_exponent=65_537, key_size=2_048))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def pair(authority: Authority, tmp_path: Path) -> Pair:
    return authority.pair(tmp_path / "issuer", "issuer", "localhost")


def an_issuer(url: str, ca: Path | str = "") -> Issuer:
    return Issuer("https://issuer.example", url, ACCOUNTS, str(ca))


def fetched(url: str, ca: Path | str = "") -> bool:
    """Whether the issuer's key can be had; the trouble, where it can not."""
    return SigningKeys(an_issuer(url, ca)).key("one", 0) is not None


def test_the_authority_that_is_named_is_trusted(signer: Signer, pair: Pair) -> None:
    with listening(saying(signer.published), pair) as issuer:
        assert fetched(issuer.url, pair.ca)
        assert fetched(issuer.url.replace("https", "HTTPS"), pair.ca)
        assert issuer.asked[0].startswith(b"GET /keys HTTP/1.1\r\nHost: localhost:")
        assert fetched(f"{issuer.url}?use=sig", pair.ca)
        assert issuer.asked[2].startswith(b"GET /keys?use=sig ")


def test_without_one_the_systems_are_trusted(
    signer: Signer, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(saying(signer.published), pair) as issuer:
        with pytest.raises(Retry, match="certificate is not good by an authority of the system"):
            fetched(issuer.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(pair.ca))
        assert fetched(issuer.url)
        assert len(issuer.asked) == 1


def test_another_authority_is_not(signer: Signer, pair: Pair, tmp_path: Path) -> None:
    other = Authority().pair(tmp_path / "other", "other", "localhost")
    with listening(saying(signer.published), pair) as issuer:
        with pytest.raises(
            Retry, match=r"at https://localhost.*: its certificate is not good by the authority in"
        ):
            fetched(issuer.url, other.ca)
        with pytest.raises(Retry, match="has no authority: No such file"):
            fetched(issuer.url, tmp_path / "absent.pem")
        with pytest.raises(Retry, match="has no authority"):
            fetched(issuer.url, pair.key)
        assert issuer.asked == []


def test_nor_is_a_certificate_of_another_name_or_time(
    signer: Signer, authority: Authority, tmp_path: Path
) -> None:
    for name, expired, words in (
        ("elsewhere.example", False, "Hostname mismatch"),
        ("localhost", True, "has expired"),
    ):
        pair = authority.pair(tmp_path / name, "issuer", name, expired=expired)
        with listening(saying(signer.published), pair) as issuer:
            with pytest.raises(Retry, match=words):
                fetched(issuer.url, pair.ca)
            assert issuer.asked == []


def test_nor_is_who_speaks_plain_text(pair: Pair) -> None:
    with listening(saying(b"{}"), None, speaks_first=True) as issuer, pytest.raises(Retry, match="SSL"):
        fetched(issuer.url, pair.ca)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1/keys", "HTTP://issuer.example", "ftp://x", "file:///keys"]
)
def test_an_address_that_is_not_https_is_refused(address: str) -> None:
    text = f"issuers: [{{issuer: i, keys: '{address}', cluster: east, agents: ['a:b']}}]"
    with pytest.raises(Reject, match="give an https address or a file"):
        parse_writers(parse_yaml(text, "writers.yaml"))


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
)
def test_a_redirect_is_followed_to_nobody(signer: Signer, pair: Pair, status: str) -> None:
    with (
        listening(saying(signer.published), pair) as elsewhere,
        listening(saying(signer.published), None) as plain,
    ):
        for there in (elsewhere.url, f"http://localhost:{plain.port}/keys"):
            moved = saying(signer.published, status, f"Location: {there}")
            with (
                listening(moved, pair) as issuer,
                pytest.raises(Retry, match=rf"HTTP {status}, to {there}, which is not followed"),
            ):
                fetched(issuer.url, pair.ca)
        assert elsewhere.asked + plain.asked == []


def just(text: bytes) -> Script:
    return lambda connection: connection.sendall(text)


def endlessly(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b" " * 65_536)


def endless_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X: y\r\n" * 1_000)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (saying(b" " * (MOST_BYTES + 1)), f"more than {MOST_BYTES} bytes"),
        (endlessly, f"more than {MOST_BYTES} bytes"),
        (endless_headers, "got more than 100 headers"),
        (saying(b'{"keys": []}', "500 No"), "HTTP 500 No"),
        (just(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[]"), "ends 3 bytes too early"),
        (just(b"what\r\n\r\n"), "what"),
        (just(b""), "closed connection"),
        (saying(b"["), "no JWKS"),
        (saying(b"[" * 100_000), "no JWKS"),
        (saying(b'{"keys": 5}'), "no JWKS"),
    ],
)
def test_what_is_no_set_of_keys_is_refused(pair: Pair, script: Script, words: str) -> None:
    with listening(script, pair) as issuer, pytest.raises(Retry, match=words):
        fetched(issuer.url, pair.ca)


def test_keys_that_were_had_outlive_trouble_on_the_way(signer: Signer, pair: Pair) -> None:
    script = [saying(signer.published)]

    def latest(connection: socket.socket) -> None:
        script[0](connection)

    with listening(latest, pair) as issuer:
        keys = SigningKeys(an_issuer(issuer.url, pair.ca))
        assert keys.key("one", 0) is not None
        script[0] = saying(b"", "302 Found", "Location: https://elsewhere.example")
        assert keys.key("two", REFETCH_NS) is None
        assert keys.key("one", REFETCH_NS) is not None
        assert len(issuer.asked) == 2


@dataclass
class Drip:
    """
    Sends a good answer, a byte now and then from place *begin* on, for so long that only a bound of the whole ends it.

    Who waits for each byte alone gets a good answer in the end.
    """

    text: bytes
    begin: int
    over: threading.Event

    def __call__(self, connection: socket.socket) -> None:
        connection.sendall(self.text[: self.begin])
        for place in range(self.begin, len(self.text)):
            if self.over.wait(0.03):
                return
            connection.sendall(self.text[place : place + 1])


ANSWER = b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100 + b"\r\n%s\r\n" + b'{"keys": []' + b" " * 100 + b"}"


@pytest.mark.parametrize("begin", [0, 20, ANSWER.index(b'{"keys"')])
@pytest.mark.parametrize("length", [b"", b"Content-Length: 112\r\n"])
def test_a_slow_answer_is_cut_as_a_whole(pair: Pair, begin: int, length: bytes) -> None:
    over = threading.Event()
    with listening(Drip(ANSWER % length, begin, over), pair) as issuer:
        with pytest.raises(Retry, match=r"no whole answer within 0\.5 s"):
            answer_to(Question(issuer.url, pair.ca), 0.5)
        over.set()


def test_who_never_begins_to_encrypt_is_cut_too(pair: Pair) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://localhost:{silent.getsockname()[1]}/"
        with pytest.raises(Retry, match=r"no whole answer within 0\.2 s"):
            answer_to(Question(url, pair.ca), 0.2)


@pytest.mark.parametrize(
    "url", ["https://", "https:///keys", "https://localhost:99999/", "https://[::1/", "https://a b/"]
)
def test_an_address_that_is_none_is_trouble_and_no_crash(url: str) -> None:
    with pytest.raises(Retry):
        answer_to(Question(url), 0.2)


def test_streams_are_let_in_by_keys_over_https(tmp_path: Path, signer: Signer, pair: Pair) -> None:
    other = Authority().pair(tmp_path / "other", "other", "localhost")

    def with_authority(ca: Path, scene: Callable[[Guarded], Any]) -> None:
        issuer = an_issuer(published.url, ca)
        play_at(tmp_path, Doors(writers=Writers(issuers=(issuer,))), scene)

    async def let_in(guarded: Guarded) -> None:
        async with guarded.call(signer.token()) as peer:
            await peer.greet()

    async def not_now(guarded: Guarded) -> None:
        async with guarded.call(signer.token()) as peer:
            code, words = await peer.end()
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "certificate" not in words

    with listening(saying(signer.published), pair) as published:
        with_authority(pair.ca, let_in)
        with_authority(other.ca, not_now)
