"""One question to one other aggregator over HTTP: bounded in time and in size, and never passed on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
from gpucost.settings_source import HostPort

from gpucost_aggregator.peers.counts import Unanswered, Why

PATH = "/api/v1/live/glimpses"
CONTENT_TYPE = "application/x-protobuf"
ASKED_BY = "Gpucost-Replica"
"""Header with the process that asks, so that it answers itself nothing: one of the addresses may be its own."""

ANSWER_S = 1.0
"""From the question to the last byte. A page waits for it, so it is short; two machines of one cluster take 10 ms."""

MOST_AT_ONCE = 64

_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Question:
    """Who asks, what it shows (empty: nothing), and the most bytes that it takes."""

    replica: str
    token: str
    most_bytes: int


class PeerCalls:
    """The one place that calls other aggregators; lives on the event loop."""

    def __init__(self, session: aiohttp.ClientSession, answer_s: float = ANSWER_S) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=answer_s)

    async def ask(self, address: HostPort, question: Question) -> bytes:
        """
        What the aggregator at *address* tells, unread.

        Raises:
            Unanswered: It tells nothing, in time and within the bound.
        """
        headers = {ASKED_BY: question.replica, "Accept": CONTENT_TYPE, "Accept-Encoding": "identity"}
        if question.token:
            headers["Authorization"] = f"Bearer {question.token}"
        try:
            # A redirect is not followed: the token is for who stands in the settings.
            async with self._session.get(
                f"http://{address}{PATH}", headers=headers, timeout=self._timeout, allow_redirects=False
            ) as answer:
                _look_at(answer)
                return await _body(answer, question.most_bytes)
        except TimeoutError:
            raise Unanswered(Why.TIMED_OUT, f"no answer within {self._timeout.total:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as trouble:
            raise Unanswered(Why.UNREACHABLE, f"{type(trouble).__name__}: {str(trouble)[:200]}") from None


@asynccontextmanager
async def peer_calls(answer_s: float = ANSWER_S) -> AsyncIterator[PeerCalls]:
    """Calls that keep their connections for some seconds, as long as this lasts."""
    connector = aiohttp.TCPConnector(limit=MOST_AT_ONCE)
    # No proxy of the environment: the token goes to the address that stands in the settings, and nowhere else.
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False
    ) as session:
        yield PeerCalls(session, answer_s)


def _look_at(answer: aiohttp.ClientResponse) -> None:
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise Unanswered(
            Why.REFUSED, f"status {answer.status}: give both the same --peers-token-file, and --peers"
        )
    if answer.status != HTTPStatus.OK or answer.content_type != CONTENT_TYPE:
        raise Unanswered(Why.UNREADABLE, f"status {answer.status}, {answer.content_type}: no glimpses")


async def _body(answer: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > most_bytes:
            raise Unanswered(Why.TOO_LARGE, f"more than {most_bytes} bytes")
    return bytes(body)
