"""The public keys of an issuer: a JWKS from a file or an https address, fetched again when a token names a new one."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path

import jwt
from gpucost.trouble import Retry
from gpucost.units import NS_PER_SECOND

from gpucost_aggregator.access.exchange import Question, answer_to
from gpucost_aggregator.access.writers_file import Issuer

REFETCH_NS = 30 * NS_PER_SECOND
"""At most so often a key that is not known is looked for: tokens of nobody must not become requests of ours."""

OLD_NS = 3_600 * NS_PER_SECOND
"""Keys are fetched again after this time, so that one that was withdrawn opens nothing for much longer."""

TOO_OLD_NS = 24 * OLD_NS
"""An issuer that does not answer for so long lets nobody in any more."""


class SigningKeys:
    """Keys of one issuer by their ids; methods may be called from several threads, and block while they fetch."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._fetching = threading.Lock()
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._tried_ns: int | None = None
        self._fetched_ns: int | None = None

    def key(self, key_id: str, now_ns: int) -> jwt.PyJWK | None:
        """
        The key with that id; None if the issuer has none such.

        Raises:
            Retry: The keys can not be had, and the ones that were are too old.
        """
        with self._fetching:
            age_ns = None if self._fetched_ns is None else now_ns - self._fetched_ns
            is_wanted = age_ns is None or age_ns >= OLD_NS or key_id not in self._keys
            if is_wanted and (self._tried_ns is None or not 0 <= now_ns - self._tried_ns < REFETCH_NS):
                self._tried_ns = now_ns
                try:
                    self._keys = _keys(self._read())
                    age_ns, self._fetched_ns = 0, now_ns
                except Retry:
                    if age_ns is None or age_ns >= TOO_OLD_NS:
                        raise
            if age_ns is None or age_ns >= TOO_OLD_NS:
                raise Retry(f"the keys of {self._issuer.issuer} could not be fetched a moment ago")
            return self._keys.get(key_id)

    def _read(self) -> bytes:
        issuer = self._issuer
        try:
            if issuer.keys.lower().startswith("https://"):
                return answer_to(Question(issuer.keys, Path(issuer.ca) if issuer.ca else None))
            return Path(issuer.keys).read_bytes()
        except (Retry, OSError, ValueError) as trouble:
            raise Retry(f"keys of {issuer.issuer} at {issuer.keys}: {trouble}") from None


def _keys(text: bytes) -> Mapping[str, jwt.PyJWK]:
    try:
        listed = json.loads(text)["keys"]
        found = [jwt.PyJWK(entry) for entry in listed if entry.get("kty") in ("RSA", "EC")]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, jwt.PyJWTError) as trouble:
        raise Retry(f"the issuer's keys are no JWKS: {trouble}") from None
    return {key.key_id or "": key for key in found}
