"""
Service-account tokens of Kubernetes: signed by their cluster, for a pod, with the name of its node.

The one door to the library that reads JWTs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from gpucost.units import NS_PER_SECOND
from jwt.types import Options

from gpucost_aggregator.access.caller import Caller
from gpucost_aggregator.access.refusal import Refused, Why
from gpucost_aggregator.access.signing_keys import SigningKeys
from gpucost_aggregator.access.writers_file import Accounts, Issuer

ALGORITHMS = ("RS256", "ES256")
"""What API servers sign with. Never what the token says: it may say that it needs no signature."""

LEEWAY_NS = 30 * NS_PER_SECOND
"""Clocks of two clusters may be this far apart."""

_SUBJECT = "system:serviceaccount:"
_UNVERIFIED: Options = {"verify_signature": False}
_VERIFIED: Options = {
    "require": ["iss", "aud", "exp", "sub"],
    # By the clock that was passed in, below.
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}

_NO_TOKEN = (
    *(jwt.PyJWTError, ValueError, TypeError, KeyError),
    # Anybody's JSON: a text where an object should be, an endless number, brackets without end.
    *(AttributeError, OverflowError, RecursionError),
)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: who made it for whom, when it ends, and the node of its pod, where it says so."""

    issuer: str
    subject: str
    node: str
    until_ns: int


def peek(token: str) -> Claims:
    """
    What *token* says of itself. Nothing of it is known to be true.

    Raises:
        Refused: It is no service account's token.
    """
    try:
        return _claims(jwt.decode(token, options=_UNVERIFIED))
    except _NO_TOKEN as trouble:
        raise unknown(f"the token is no JWT of a service account: {type(trouble).__name__}") from None


def issued_caller(token: str, issuer: Issuer, keys: SigningKeys, now_ns: int) -> Caller:
    """
    Whom *issuer* made *token* for; may block while *keys* are fetched.

    Raises:
        Refused: It is not signed by the issuer, ended, or not made for this.
        Retry: The issuer's keys can not be had now.
    """
    try:
        key = keys.key(str(jwt.get_unverified_header(token).get("kid", "")), now_ns)
        if key is None:
            raise unknown(f"no key of {issuer.issuer} has the token's id")
        body = jwt.decode(
            token,
            key,
            algorithms=list(ALGORITHMS),
            issuer=issuer.issuer,
            audience=issuer.accounts.audience,
            options=_VERIFIED,
        )
        claims = _claims(body)
        starts_ns = int(body.get("nbf", 0)) * NS_PER_SECOND
    except _NO_TOKEN as trouble:
        raise unknown(f"a token of {issuer.issuer}: {type(trouble).__name__}: {trouble}") from None
    if now_ns > claims.until_ns + LEEWAY_NS:
        raise unknown(f"a token of {issuer.issuer} for {claims.subject} has expired")
    if now_ns < starts_ns - LEEWAY_NS:
        raise unknown(f"a token of {issuer.issuer} for {claims.subject} is not valid yet")
    return account_caller(claims, issuer.accounts)


def account_caller(claims: Claims, accounts: Accounts) -> Caller:
    """
    What a verified token allows.

    Raises:
        Refused: Its service account is none of *accounts*.
    """
    account = claims.subject.removeprefix(_SUBJECT)
    if claims.subject == account or account not in accounts.agents | accounts.watchers:
        raise unknown(f"{claims.subject} is no writer of {accounts.cluster}")
    return Caller(
        f"service account {account} of {accounts.cluster}",
        frozenset({accounts.cluster}),
        claims.node,
        may_watch=account in accounts.watchers,
        until_ns=claims.until_ns,
    )


def unknown(detail: str) -> Refused:
    """The refusal of a token, with the reason for the log."""
    return Refused(
        Why.UNKNOWN, "the token is not valid here: renew what the agent's --token-file holds", detail
    )


def _claims(body: Mapping[str, Any]) -> Claims:
    told = body.get("kubernetes.io") or {}
    node = told.get("node") or {}
    texts = (str(body["iss"]), str(body["sub"]), str(node.get("name", "")))
    for text in texts:
        text.encode()  # JSON can spell half a character, which no log takes: ValueError.
    return Claims(*texts, int(body["exp"]) * NS_PER_SECOND)
