"""
Static tokens: made once, shown once, kept as a hash.

A token is ``gpc_ID_SECRET``. The id finds its entry and is no secret; the secret has 256 bits from the system's
generator, so one round of SHA-256 is as good as any slow hash, and a refusal costs microseconds.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

_PREFIX = "gpc_"
_FORM = re.compile(r"gpc_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
LONGEST_TOKEN = 8_192
"""Characters of any token; a service account's with all its claims has about 1,500."""


@dataclass(frozen=True, slots=True)
class StaticToken:
    """A token as it is kept: its id, the SHA-256 of all of it in hex, and the cluster that it may write."""

    token_id: str
    sha256: str
    cluster: str
    made_at_ns: int


def make_token(cluster: str, now_ns: int) -> tuple[str, StaticToken]:
    """A new token for *cluster*, and what is kept of it."""
    token_id = secrets.token_hex(6)
    token = f"{_PREFIX}{token_id}_{secrets.token_urlsafe(32)}"
    return token, StaticToken(token_id, fingerprint(token), cluster, now_ns)


def fingerprint(token: str) -> str:
    """The SHA-256 of *token* in hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_static(token: str) -> bool:
    """Whether *token* says of itself that it was made here."""
    return token.startswith(_PREFIX)


def id_of(token: str) -> str:
    """The id in *token*; empty where it has not the form of one."""
    found = _FORM.fullmatch(token)
    return found[1] if found else ""


def matches(token: str, sha256: str) -> bool:
    """Whether *token* is the one with that hash, in a time that does not tell how much of it fits."""
    return hmac.compare_digest(fingerprint(token).encode(), sha256.encode())
