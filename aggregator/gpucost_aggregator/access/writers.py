"""The one place that says who a caller is: by token, by certificate, or anybody where nobody is asked."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from gpucost_aggregator.access.access_book import AccessBook
from gpucost_aggregator.access.api_server import ApiServer
from gpucost_aggregator.access.caller import ANYBODY, Caller, Shown
from gpucost_aggregator.access.certificates import certificate_caller
from gpucost_aggregator.access.refusal import Refused, Why
from gpucost_aggregator.access.tokens import LONGEST_TOKEN, is_static
from gpucost_aggregator.access.writers_file import Issuer, Writers

_THREADS = 2
"""Keys are fetched and API servers asked in threads of their own, so that reports wait for none of them."""


@dataclass(frozen=True, slots=True)
class WritersParts:
    """
    What tells writers apart. *always*: they are asked who they are, though nobody has joined yet.

    *file* says what the file of writers says now.
    """

    book: AccessBook
    always: bool
    file: Callable[[], Writers] = field(default=Writers)


class WriterAccess:
    """Who writes. Lives on the event loop; `close` gives its threads back."""

    def __init__(self, parts: WritersParts) -> None:
        self._parts = parts
        self._thread = ThreadPoolExecutor(_THREADS, "access")
        self._keys: dict[Issuer, object] = {}

    @property
    def is_asked(self) -> bool:
        """Whether a writer has to say who it is."""
        return self._parts.always or self._parts.book.has_joined

    @property
    def knows_nobody(self) -> bool:
        """Whether neither a token nor a file names anybody; a certificate may still do."""
        file = self._parts.file()
        return not (
            self._parts.book.has_tokens or file.certificates or file.issuers or file.review is not None
        )

    async def identify(self, shown: Shown, now_ns: int) -> Caller:
        """
        Who it is that has *shown* this. A token decides where there is one, then a certificate.

        Raises:
            Refused: Nobody who is known here.
            Retry: It can not be found out now.
        """
        if not self.is_asked:
            return ANYBODY
        if shown.token:
            return await self._by_token(shown.token, now_ns)
        if shown.names:
            return certificate_caller(shown, self._parts.file().certificates)
        raise Refused(
            Why.UNKNOWN,
            "this aggregator lets in whom it knows: give the agent a --token-file, which "
            "`gpucost-aggregator join CLUSTER` makes, or a client certificate",
            "no token and no certificate",
        )

    def close(self) -> None:
        """Waits for no request that is under way."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _by_token(self, token: str, now_ns: int) -> Caller:
        if len(token) > LONGEST_TOKEN:
            raise Refused(Why.UNKNOWN, "the token is too long", f"a token of {len(token)} characters")
        if is_static(token):
            entry = self._parts.book.token(token)
            if entry is None:
                raise Refused(
                    Why.UNKNOWN,
                    "the token is not valid here: renew what the agent's --token-file holds",
                    "a static token that is not known, or no more",
                )
            return Caller(f"token {entry.token_id}", frozenset({entry.cluster}))
        writers = self._parts.file()
        if not writers.issuers and writers.review is None:
            raise Refused(
                Why.UNKNOWN,
                "the token is not valid here: renew what the agent's --token-file holds",
                "a token of another kind, and no issuer is set up",
            )
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._by_account, token, writers, now_ns
        )

    def _by_account(self, token: str, writers: Writers, now_ns: int) -> Caller:
        # Imported where tokens of service accounts are taken: the libraries are 15 MiB of memory.
        from gpucost_aggregator.access.service_accounts import issued_caller, peek, unknown  # noqa: PLC0415
        from gpucost_aggregator.access.signing_keys import SigningKeys  # noqa: PLC0415
        from gpucost_aggregator.access.token_review import reviewed_caller  # noqa: PLC0415

        said = peek(token)
        for issuer in writers.issuers:
            if issuer.issuer == said.issuer:
                keys = self._keys.setdefault(issuer, SigningKeys(issuer))
                return issued_caller(token, issuer, keys, now_ns)  # type: ignore[arg-type]  # as just made
        if writers.review is None:
            raise unknown(f"{said.issuer[:200]} is no issuer that is set up")
        return reviewed_caller(token, writers.review, ApiServer())
