"""
One question over HTTP, bounded as a whole in bytes and in time, so that whoever answers can hold nobody up.

Follows no redirect and asks no proxy: what is trusted is the address that somebody wrote down.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from gpucost.trouble import Retry

PATIENCE_S = 5.0
"""For a connection, and again for the whole answer; the resolver has a patience of its own."""

MOST_BYTES = 1 << 20
"""Of an answer: an issuer has a few keys of half a kilobyte each, and a review is as short."""

_MOST_ADDRESSES = 4
"""Of one host, as each takes a share of the patience."""

_MOST_WORDS = 400


@dataclass(frozen=True, slots=True)
class Question:
    """
    What is asked at *url*; a *body* is posted, unless *method* says otherwise.

    *ca* has the authority of an https address; None is the system's.
    """

    url: str
    ca: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    method: str = ""


class NoSuccess(Retry):
    """An answer, and its *status* is none of success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def answer_to(question: Question, patience_s: float = PATIENCE_S) -> bytes:
    """
    The body of the answer; blocks until it is there, or has taken too long.

    Raises:
        Retry: There is none within *patience_s*, it is too long, or it comes from somebody else.
        NoSuccess: That Retry, where there is one that is no success.
    """
    try:
        place = urlsplit(question.url)
        trust = _trust(question.ca) if place.scheme == "https" else None
        with _connected(place, patience_s) as raw, _cut_after(patience_s, raw) as is_cut:
            try:
                text = _asked(question, place, raw, trust)
            except (OSError, http.client.HTTPException, ValueError):
                if not is_cut.is_set():
                    raise
            # An answer that ends where its connection does looks whole after a cut.
            if is_cut.is_set():
                raise TimeoutError(f"no whole answer within {patience_s:g} s")
            return text
    except ssl.SSLCertVerificationError as trouble:
        trusted = f"the authority in {question.ca}" if question.ca else "an authority of the system"
        raise Retry(f"its certificate is not good by {trusted}: {trouble.verify_message}") from None
    except (OSError, http.client.HTTPException, ValueError) as trouble:
        raise Retry(str(trouble)[:_MOST_WORDS] or type(trouble).__name__) from None


def _trust(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as trouble:
        raise Retry(f"{ca} has no authority: {trouble.strerror or trouble}") from None


@contextmanager
def _connected(place: SplitResult, patience_s: float) -> Iterator[socket.socket]:
    if not place.hostname:
        raise ValueError("the address names no host")
    port = place.port or (443 if place.scheme == "https" else 80)
    found = socket.getaddrinfo(place.hostname, port, type=socket.SOCK_STREAM)[:_MOST_ADDRESSES]
    trouble = OSError("it has no address")
    for family, kind, protocol, _, address in found:
        raw = socket.socket(family, kind, protocol)
        raw.settimeout(patience_s / len(found))
        try:
            raw.connect(address)
        except OSError as refused:
            raw.close()
            trouble = refused
            continue
        # From here on the whole is bounded, not each step: who sends a byte now and then is not patient with us.
        raw.settimeout(None)
        with raw:
            yield raw
        return
    raise trouble


@contextmanager
def _cut_after(seconds: float, raw: socket.socket) -> Iterator[threading.Event]:
    """Hangs up *raw* after that time, whatever it is busy with; the event says that it has."""
    is_cut = threading.Event()
    # Encryption takes the socket over, so that only a second handle of it can still hang up.
    with raw.dup() as handle:

        def cut() -> None:
            is_cut.set()
            with suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            yield is_cut
        finally:
            timer.cancel()
            timer.join()


def _asked(question: Question, place: SplitResult, raw: socket.socket, trust: ssl.SSLContext | None) -> bytes:
    host = place.hostname or ""
    calling = http.client.HTTPConnection(host, place.port)
    calling.sock = raw if trust is None else trust.wrap_socket(raw, server_hostname=host)
    try:
        target = f"{place.path or '/'}?{place.query}" if place.query else place.path or "/"
        method = question.method or ("GET" if question.body is None else "POST")
        calling.request(method, target, question.body, dict(question.headers))
        with calling.getresponse() as answer:
            return _body(answer)
    finally:
        calling.close()


def _body(answer: http.client.HTTPResponse) -> bytes:
    if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        moved = answer.getheader("Location", "")
        where = f", to {moved}, which is not followed" if moved else ""
        raise NoSuccess(answer.status, f"HTTP {answer.status} {answer.reason}{where}"[:_MOST_WORDS])
    text = answer.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise ValueError(f"the answer has more than {MOST_BYTES} bytes")
    if answer.length:
        raise ValueError(f"the answer ends {answer.length} bytes too early")
    return text
