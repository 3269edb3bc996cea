"""The scraper, against real HTTP."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from gpucost.clock import Instant
from gpucost.trouble import Retry

from contracts.hand_clock import HandClock
from gpucost_agent.readings import ActivitySpan
from gpucost_agent.sources import dcgm
from gpucost_agent.sources.dcgm import Dcgm, spans_of
from gpucost_agent.sources.dcgm_text import Scrape

SECOND = 1_000_000_000
A = "GPU-8b2281de-6d3c-22ed-0ec8-d3b864870b8b"
BUSY = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"


def text(value: str) -> bytes:
    return f'{BUSY}{{gpu="0",UUID="{A}"}} {value}\n'.encode()


class Exporter:
    """Sends what it is told to."""

    def __init__(self) -> None:
        self.body = text("0.5")
        self.status = 200
        self.length: int | None = None
        self.paths: list[str] = []
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                exporter.paths.append(self.path)
                self.send_response(exporter.status)
                length = len(exporter.body) if exporter.length is None else exporter.length
                self.send_header("Content-Length", str(length))
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(exporter.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}/metrics"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    made = Exporter()
    yield made
    made.end()


def test_a_scrape_tells_of_the_time_since_the_one_before(exporter: Exporter) -> None:
    clock = HandClock()
    source = Dcgm(lambda: exporter.url, clock)
    first = source.read()
    assert (first.read_at, dict(first.spans)) == (clock.now(), {})
    assert first.missing == ("sm", "tensor", "dram")
    before = clock.now()
    clock.pass_ns(15 * SECOND)
    exporter.body = text("0.25")
    now = clock.now()
    assert dict(source.read().spans) == {A: (ActivitySpan(before.wall_ns, now.wall_ns, busy_ppm=250_000),)}
    clock.pass_ns(15 * SECOND)
    exporter.body = text("71.4")
    reading = source.read()
    assert dict(reading.spans) == {}, "nonsense is no idleness"
    assert reading.troubles == ("above_one",)


def test_a_value_that_never_changes_is_a_value(exporter: Exporter) -> None:
    clock = HandClock()
    source = Dcgm(lambda: exporter.url, clock)
    for _ in range(3):
        reading = source.read()
        clock.pass_ns(SECOND)
    assert reading.spans[A][0].busy_ppm == 500_000


def test_a_failed_scrape_in_between_leaves_no_hole(exporter: Exporter) -> None:
    clock = HandClock()
    source = Dcgm(lambda: exporter.url, clock)
    source.read()
    begun = clock.now()
    clock.pass_ns(10 * SECOND)
    exporter.status = 503
    with pytest.raises(Retry, match="503"):
        source.read()
    exporter.status = 200
    clock.pass_ns(10 * SECOND)
    assert source.read().spans[A][0].since_ns == begun.wall_ns


def test_after_nobody_listened_the_first_scrape_is_a_first_one(exporter: Exporter) -> None:
    clock, address = HandClock(), [exporter.url]
    source = Dcgm(lambda: address[0], clock)
    source.read()
    clock.pass_ns(5 * SECOND)
    address[0] = "http://127.0.0.1:1/metrics"
    with pytest.raises(Retry, match="refused"):
        source.read()
    address[0] = exporter.url
    clock.pass_ns(5 * SECOND)
    assert source.read().spans == {}
    clock.pass_ns(5 * SECOND)
    assert source.read().spans[A]


def scraped(*engines: int | None) -> Scrape:
    return Scrape({(A, gi): {"busy": 1, "dram": 2} for gi in engines}, (), ())


def test_no_value_is_evidence_for_more_than_a_minute() -> None:
    (span,) = spans_of(scraped(None), Instant(0, 0), Instant(90 * SECOND, 90 * SECOND))[A]
    assert (span.since_ns, span.until_ns) == (30 * SECOND, 90 * SECOND)


def test_a_wall_that_was_set_makes_no_time() -> None:
    (span,) = spans_of(scraped(None), Instant(50 * SECOND, 0), Instant(20 * SECOND, 10 * SECOND))[A]
    assert (span.since_ns, span.until_ns) == (10 * SECOND, 20 * SECOND)


def test_instances_come_in_their_order() -> None:
    spans = spans_of(scraped(9, None, 1), Instant(0, 0), Instant(1, 1))[A]
    assert [span.gi for span in spans] == [None, 1, 9]
    assert {(span.busy_ppm, span.sm_ppm, span.tensor_ppm, span.dram_ppm) for span in spans} == {
        (1, None, None, 2)
    }


def fails(url: str, says: str) -> None:
    with pytest.raises(Retry, match=says):
        Dcgm(lambda: url, HandClock()).read()


def test_the_path_may_be_left_out_and_the_scheme_too(exporter: Exporter) -> None:
    bare = exporter.url.removesuffix("/metrics")
    for url in (bare, bare.removeprefix("http://")):
        assert Dcgm(lambda url=url: url, HandClock()).read().missing  # type: ignore[misc]
    assert exporter.paths == ["/metrics"] * 2


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "no pod of this node"),
        ("ftp://127.0.0.1/metrics", "no address"),
        ("http:///metrics", "no address"),
        ("http://127.0.0.1:port/", "[Pp]ort"),
        ("http://127.0.0.1:1/metrics", "refused"),
    ],
)
def test_no_exporter_is_a_trouble_in_words(url: str, says: str) -> None:
    fails(url, says)


def test_a_server_that_sends_elsewhere_is_not_followed(exporter: Exporter) -> None:
    exporter.status = 302
    fails(exporter.url, "302")
    assert exporter.paths == ["/metrics"]


def test_an_answer_that_is_cut_off_is_none(exporter: Exporter) -> None:
    exporter.length = len(exporter.body) + 10
    fails(exporter.url, "cut off")


def test_an_endless_answer_ends(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dcgm, "_LARGEST_ANSWER_BYTES", 1 << 20)
    exporter.body = text("0.5") * 20_000
    fails(exporter.url, "larger than 1 MiB")


def test_an_answer_that_trickles_ends(exporter: Exporter) -> None:
    class Late(HandClock):
        def now(self) -> Instant:
            self.pass_ns(11 * SECOND)
            return super().now()

    with pytest.raises(Retry, match="longer than 10 s"):
        Dcgm(lambda: exporter.url, Late()).read()


def test_a_server_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(dcgm, "_SILENCE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        fails(f"http://127.0.0.1:{silent.getsockname()[1]}/metrics", "timed out")
