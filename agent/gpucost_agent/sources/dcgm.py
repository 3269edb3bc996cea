"""The node's dcgm-exporter, over HTTP: how busy GPUs and their instances were since it was last asked."""

import http.client
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from gpucost.clock import Clock, Instant
from gpucost.trouble import Retry
from gpucost.units import NS_PER_SECOND

from gpucost_agent.readings import ActivitySpan, DcgmReading
from gpucost_agent.sources.dcgm_text import Scrape, parse_scrape

LONGEST_SPAN_NS = 60 * NS_PER_SECOND
"""The exporter's values are means over up to half a minute; for what lies longer back they are no evidence."""

_SILENCE_S = 3.0
_ANSWER_NS = 10 * NS_PER_SECOND
_LARGEST_ANSWER_BYTES = 16 << 20
_PIECE_BYTES = 1 << 16


class Dcgm:
    """
    Scrapes one exporter. For one thread.

    *url* is asked at each reading for the address of its metrics, as its pod comes and goes; empty if there is none.
    """

    def __init__(self, url: Callable[[], str], clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._before: Instant | None = None
        self._text, self._said = "", parse_scrape("")

    def read(self) -> DcgmReading:
        """
        One scrape; blocks for some seconds at most. The first has no spans, as nothing says since when it holds.

        Raises Retry, in words, if there is no exporter or it does not answer as one.
        """
        url = self._url()
        if not url:
            raise Retry("no pod of this node is a dcgm-exporter that runs")
        try:
            text = self._scrape(urlsplit(url if "://" in url else f"http://{url}"))
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, ConnectionError):
                # Nobody listens: the one that does so next is another, and measured nothing of the time before it.
                self._before = None
            raise Retry(f"dcgm-exporter at {url}: {str(error) or type(error).__name__}") from error
        if text != self._text:
            # It takes new values each half minute, and says the same in between.
            self._text, self._said = text, parse_scrape(text)
        scrape, now, before = self._said, self._clock.now(), self._before
        self._before = now
        spans = {} if before is None else spans_of(scrape, before, now)
        return DcgmReading(now, spans, scrape.missing, scrape.troubles)

    def _scrape(self, url: SplitResult) -> str:
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("this is no address of the form http://host:port/metrics")
        kind = http.client.HTTPConnection if url.scheme == "http" else http.client.HTTPSConnection
        connection = kind(url.hostname, url.port, timeout=_SILENCE_S)
        try:
            # The exporter answers from what it has, so a new connection costs less than one that may be dead.
            connection.request("GET", url.path or "/metrics", headers={"Accept": "text/plain"})
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise ValueError(f"it answered {response.status} {response.reason}")
            return self._body(response).decode("utf-8", errors="replace")
        finally:
            connection.close()

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        """In pieces, as a peer that sends a byte now and then is never silent for long, and never ends."""
        until_ns = self._clock.now().monotonic_ns + _ANSWER_NS
        body = bytearray()
        while piece := response.read1(_PIECE_BYTES):
            body += piece
            if len(body) > _LARGEST_ANSWER_BYTES:
                raise ValueError(f"its answer is larger than {_LARGEST_ANSWER_BYTES >> 20} MiB")
            if self._clock.now().monotonic_ns > until_ns:
                raise ValueError(f"its answer takes longer than {_ANSWER_NS // NS_PER_SECOND} s")
        if response.length:
            raise ValueError("its answer was cut off")
        return bytes(body)


def spans_of(scrape: Scrape, before: Instant, now: Instant) -> dict[str, tuple[ActivitySpan, ...]]:
    """What a scrape says of the time since the one *before*, or of as much of it as it can be true of: pure."""
    # By the monotonic clock, as somebody may have set the wall.
    length_ns = min(now.monotonic_ns - before.monotonic_ns, LONGEST_SPAN_NS)
    found: dict[str, list[ActivitySpan]] = {}
    for (uuid, gi), shares in scrape.shares.items():
        found.setdefault(uuid, []).append(
            ActivitySpan(
                now.wall_ns - length_ns,
                now.wall_ns,
                gi,
                busy_ppm=shares.get("busy"),
                sm_ppm=shares.get("sm"),
                tensor_ppm=shares.get("tensor"),
                dram_ppm=shares.get("dram"),
            )
        )
    return {
        uuid: tuple(sorted(spans, key=lambda span: -1 if span.gi is None else span.gi))
        for uuid, spans in found.items()
    }
