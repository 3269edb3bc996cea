"""The one place that says which callers are other aggregators: by the token that they have, and no reader has."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from gpucost.trouble import Retry

from gpucost_aggregator.access.readers import bearer_of
from gpucost_aggregator.access.readers_file import SHORTEST_TOKEN
from gpucost_aggregator.access.refusal import Refused, Why
from gpucost_aggregator.access.tokens import LONGEST_TOKEN, fingerprint, matches

MOST_TOKENS = 4
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class PeerTokens:
    """
    Tokens in *file*, one a line: the first is shown, each is taken, so that they are changed without a gap.

    Read anew each time, as Kubernetes changes what a mounted file holds; None is no token at all.
    """

    file: Path | None = None

    def shown(self) -> str:
        """
        The one for others; empty without a file.

        Raises:
            Retry: The file can not be read, or holds something else than tokens. No text of it is told.
        """
        return self.taken()[0] if self.file is not None else ""

    def taken(self) -> tuple[str, ...]:
        """Those that others may show. Raises as `shown`."""
        if self.file is None:
            return ()
        try:
            with self.file.open("rb") as reading:
                raw = reading.read(MOST_TOKENS * LONGEST_TOKEN)
        except OSError as trouble:
            raise Retry(f"{self.file}: can not be read: {trouble.strerror}") from None
        tokens = tuple(raw.decode("ascii", "replace").split())
        if not 0 < len(tokens) <= MOST_TOKENS:
            raise Retry(
                f"{self.file}: holds {len(tokens)} tokens: write one to {MOST_TOKENS}, each on a line"
            )
        for token in tokens:
            if not _TOKEN.fullmatch(token) or not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN:
                raise Retry(
                    f"{self.file}: holds something else than tokens of {SHORTEST_TOKEN} characters or more, such as "
                    "those of `openssl rand -base64 32`"
                )
        return tokens


@dataclass(frozen=True, slots=True)
class PeerAccess:
    """
    Who is another aggregator. *is_served*: there are others at all.

    Without *tokens* it is whoever calls from loopback; the settings see to it that nobody else has to be kept out.
    """

    is_served: bool = False
    tokens: PeerTokens = field(default_factory=PeerTokens)

    def identify(self, headers: Mapping[str, str], address: str | None) -> None:
        """
        Let in another aggregator, by the *headers* of its request and the *address* of its connection.

        Raises:
            Refused: It is none, or nobody can say now; a reader's token is of no use here.
        """
        if not self.is_served:
            raise _unknown("there are no others")
        if self.tokens.file is None:
            if not _is_loopback(address):
                raise _unknown("not from loopback, and there is no token")
            return
        given = bearer_of(headers.get("Authorization", ""))
        if not given.isascii() or not 0 < len(given) <= LONGEST_TOKEN:
            raise _unknown("no token")
        try:
            # All of them, so that the time tells nothing.
            fits = [matches(given, fingerprint(token)) for token in self.tokens.taken()]
        except Retry as trouble:
            raise _unknown(f"--peers-token-file {trouble}") from None
        if not any(fits):
            raise _unknown("a token that is not that of the aggregators")


def _is_loopback(address: str | None) -> bool:
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def _unknown(detail: str) -> Refused:
    return Refused(
        Why.UNKNOWN,
        "only other aggregators are answered here, by the token in their --peers-token-file",
        detail,
    )
