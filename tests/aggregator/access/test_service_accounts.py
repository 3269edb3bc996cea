"""Tokens of service accounts: whose signature, for whom, for how long, and for which node."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from gpucost.trouble import Retry
from gpucost.units import NS_PER_SECOND

from contracts.agent_peer import a_hello, a_message
from contracts.guarded_streams import Doors, Guarded, play_at
from contracts.ledger_rows import AGENT, a_slice
from contracts.serving_streams import NOW_NS
from gpucost_aggregator.access.refusal import Refused
from gpucost_aggregator.access.service_accounts import issued_caller
from gpucost_aggregator.access.signing_keys import OLD_NS, REFETCH_NS, TOO_OLD_NS, SigningKeys
from gpucost_aggregator.access.writers_file import Accounts, Issuer, Writers

CLUSTER, NODE = AGENT.node.cluster, AGENT.node.node
NOW_S = NOW_NS // NS_PER_SECOND
ISSUER = "https://issuer.example"
ACCOUNTS = Accounts(CLUSTER, frozenset({"gpucost:agent"}), frozenset({"gpucost:watcher"}))


@dataclass(frozen=True)
class Signer:
    """An issuer with one key of each kind, and its JWKS in a file."""

    issuer: Issuer
    keys: dict[str, Any]

    def token(self, *, algorithm: str = "RS256", key_id: str = "", **changes: Any) -> str:
        body = {
            "iss": ISSUER,
            "aud": ["gpucost"],
            "sub": "system:serviceaccount:gpucost:agent",
            "exp": NOW_S + 600,
            "nbf": NOW_S - 10,
            "kubernetes.io": {"namespace": "gpucost", "node": {"name": NODE, "uid": "u"}},
            **changes,
        }
        body = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(body, self.keys[algorithm], algorithm, headers={"kid": key_id or algorithm})


@pytest.fixture(scope="module")
def keys() -> dict[str, Any]:
    return {
        "RS256": rsa.generate_private_key(public_exponent=65_537, key_size=2_048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "HS256": "a secret that both sides would have to know",
        "none": None,
    }


@pytest.fixture
def signer(tmp_path: Path, keys: dict[str, Any]) -> Signer:
    rs256, es256 = jwt.algorithms.RSAAlgorithm, jwt.algorithms.ECAlgorithm
    listed = [
        {**rs256.to_jwk(keys["RS256"].public_key(), as_dict=True), "kid": "RS256"},
        {**es256.to_jwk(keys["ES256"].public_key(), as_dict=True), "kid": "ES256"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "HS256"},
    ]
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": listed}))
    return Signer(Issuer(ISSUER, str(file), ACCOUNTS), keys)


def test_a_token_is_bound_to_its_cluster_and_node(signer: Signer) -> None:
    for algorithm in ("RS256", "ES256"):
        found = issued_caller(
            signer.token(algorithm=algorithm), signer.issuer, SigningKeys(signer.issuer), NOW_NS
        )
        assert found.clusters == {CLUSTER}
        assert found.node == NODE
        assert found.until_ns == (NOW_S + 600) * NS_PER_SECOND
        assert not found.may_watch
    watcher = signer.token(sub="system:serviceaccount:gpucost:watcher")
    assert issued_caller(watcher, signer.issuer, SigningKeys(signer.issuer), NOW_NS).may_watch


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": ["https://kubernetes.default.svc"]},
        {"aud": None},
        {"exp": NOW_S - 31},
        {"exp": None},
        {"nbf": NOW_S + 31},
        {"sub": "system:serviceaccount:default:agent"},
        {"sub": "gpucost:agent"},
        {"sub": None},
        {"key_id": "ES256"},
        {"key_id": "unheard"},
        {"algorithm": "HS256"},
        {"algorithm": "HS256", "key_id": "RS256"},
        {"algorithm": "none", "key_id": "RS256"},
    ],
)
def test_tokens_that_are_not_for_us(signer: Signer, changes: dict[str, Any]) -> None:
    token = signer.token(**changes)
    with pytest.raises(Refused) as refused:
        issued_caller(token, signer.issuer, SigningKeys(signer.issuer), NOW_NS)
    assert str(refused.value) == "the token is not valid here: renew what the agent's --token-file holds"
    assert token not in refused.value.detail


def test_a_change_of_one_bit_is_seen(signer: Signer) -> None:
    head, body, signature = signer.token().split(".")
    for place in range(0, len(signature) - 2, 40):
        other = "A" if signature[place] != "A" else "B"
        changed = f"{head}.{body}.{signature[:place]}{other}{signature[place + 1 :]}"
        with pytest.raises(Refused):
            issued_caller(changed, signer.issuer, SigningKeys(signer.issuer), NOW_NS)


def test_keys_are_fetched_again_and_outlive_an_issuer_for_a_day(signer: Signer) -> None:
    keys, file = SigningKeys(signer.issuer), Path(signer.issuer.keys)
    listed = file.read_text()
    assert keys.key("RS256", 0) is not None
    file.unlink()
    assert keys.key("unheard", REFETCH_NS) is None
    assert keys.key("RS256", OLD_NS) is not None
    with pytest.raises(Retry, match="No such file"):
        keys.key("RS256", TOO_OLD_NS + REFETCH_NS)
    with pytest.raises(Retry, match="a moment ago"):
        keys.key("RS256", TOO_OLD_NS + REFETCH_NS + 1)
    file.write_text(listed)
    assert keys.key("RS256", TOO_OLD_NS + 2 * REFETCH_NS) is not None


def served(tmp_path: Path, signer: Signer, scene: Callable[[Guarded], Any]) -> None:
    play_at(tmp_path, Doors(writers=Writers(issuers=(signer.issuer,))), scene)


def test_a_stolen_token_of_a_node_opens_no_other(tmp_path: Path, signer: Signer) -> None:
    async def scene(guarded: Guarded) -> None:
        for hello in (
            a_hello(node="another"),
            a_hello(cluster="another"),
            a_hello(role=2),
        ):
            async with guarded.call(signer.token()) as peer:
                await peer.say(hello=hello)
                code, words = await peer.end()
                assert code is grpc.StatusCode.PERMISSION_DENIED
                assert NODE not in words
        async with guarded.call(signer.token(iss="https://elsewhere.example")) as peer:
            assert (await peer.end())[0] is grpc.StatusCode.UNAUTHENTICATED
        async with guarded.call(signer.token()) as peer:
            await peer.greet()

    served(tmp_path, signer, scene)


def test_a_token_that_is_let_in_past_its_end_is_good_for_a_moment(tmp_path: Path, signer: Signer) -> None:
    async def scene(guarded: Guarded) -> None:
        guarded.clock.wall_ns = (NOW_S + 600 + 20) * NS_PER_SECOND
        async with guarded.call(signer.token()) as peer:
            await peer.greet()
            await peer.say(batch=a_message(1, a_slice()))
            await peer.acknowledged(1)
            code, words = await peer.end()
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "reached its end" in words

    served(tmp_path, signer, scene)


def test_the_end_of_a_token_ends_its_stream(tmp_path: Path, signer: Signer) -> None:
    async def scene(guarded: Guarded) -> None:
        guarded.clock.wall_ns = (NOW_S + 600) * NS_PER_SECOND - 1_000_000
        async with guarded.call(signer.token()) as peer:
            await peer.greet()
            async with asyncio.timeout(30):
                code, words = await peer.end()
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "reached its end" in words

    served(tmp_path, signer, scene)
