"""
Spool -> gRPC -> acknowledgement -> forget.

One long-lived stream; when it ends, for whatever reason, another one begins where the aggregator is durable.
"""

import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol

import grpc
from gpucost.clock import Clock
from gpucost.identity import NodeId
from gpucost.trouble import Retry
from gpucost.units import NS_PER_SECOND
from gpucost.v1 import stream_pb2
from gpucost.v1.stream_pb2_grpc import CostStreamStub
from gpucost.wire import MAX_MESSAGE_BYTES, WindowSlices, table_to_message

from gpucost_agent.spool import Entry, Spool
from gpucost_agent.token_file import token_metadata

with suppress(ImportError):
    # gRPC lets a thread that waits for an answer look up ten times a second, so that a main thread hears of signals;
    # ours is none. Where a release keeps that elsewhere, it costs what it costs.
    vars(import_module("grpc._common"))["MAXIMUM_WAIT_TIMEOUT"] = 5.0

_IN_FLIGHT = 64
"""Batches sent and not acknowledged; 64 windows of a busy node are far below a message bound of the server."""

_STREAM_LIFE_S = 1_800
_LONGEST_BACK_OFF_S = 60.0
_YOUNG_NS = 120 * NS_PER_SECOND
_LONGEST_YOUNG_BACK_OFF_S = 10.0
_MOST_DOUBLINGS = 16
_DRAINING_PAUSE_S = 0.5
_LONGEST_WAIT_S = 5.0
_AFTER_LOOKS_NS = 20_000_000
"""So long after a second began all GPUs were looked at, where no driver hangs."""

_LONGEST_SPREAD_NS = 30 * NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Caller:
    """Who speaks, as Hello says it. What is asked at each Hello may be learned late, or change."""

    node: NodeId
    cluster_uid: Callable[[], str]
    boot_id: str
    version: str
    window_ns: int
    price_book_version: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Target:
    """Where the aggregator is; without credentials the stream is plain text. *token_file* says who calls."""

    address: str
    credentials: grpc.ChannelCredentials | None = None
    token_file: Path | None = None


class Listener(Protocol):
    """Who wants to know how the stream is doing; called by the stream's thread, may not block."""

    def heard(self, clock_ns: int) -> None:
        """The aggregator's clock shows *clock_ns* now."""
        ...

    def connected(self, durable: int) -> None:
        """A stream stands; the aggregator holds everything up to *durable*."""
        ...

    def disconnected(self, reason: str) -> None:
        """The stream ended."""
        ...

    def rejected(self, sequence_number: int, reasons: list[str]) -> None:
        """Slices of a batch were set aside at the aggregator."""
        ...

    def prices_sent(self, version: str, yaml: bytes) -> None:
        """The fleet's price book is *yaml*; both empty: it has none. The one call that may wait, for the disk."""
        ...


@dataclass
class Stream:
    """
    Sends a spool's batches. ``run`` blocks for the life of the agent and raises nothing.

    *glimpse* is what the node looks like now; None where that is not known.
    *draining*: set it to send what is there at once, and to end when all of it is acknowledged.
    """

    spool: Spool
    target: Target
    caller: Caller
    clock: Clock
    listener: Listener
    glimpse: Callable[[], WindowSlices | None] = lambda: None
    draining: threading.Event = field(default_factory=threading.Event)
    drained: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Streams, one after the other, until everything is drained."""
        failures, began_ns = 0, self.clock.now().monotonic_ns
        while not self.drained.is_set():
            session = _Session(self)
            trouble: Exception | None = None
            try:
                session.run()
            except (grpc.RpcError, Retry) as error:
                trouble = error
            self.listener.disconnected(worded(trouble) if trouble else "ended by the aggregator")
            failures = failures_in_a_row(failures, session.welcomed.is_set(), trouble)
            self._back_off(failures, self.clock.now().monotonic_ns - began_ns)

    def _back_off(self, failures: int, ran_ns: int) -> None:
        # Full jitter, so that a fleet does not come back in one instant.
        wait_s = random.uniform(0, longest_back_off_s(failures, ran_ns))  # noqa: S311 - spreads load, guards nothing
        if not self.draining.wait(wait_s):
            return
        # An agent that ends has half a minute, so it tries at a steady pace.
        self.drained.wait(_DRAINING_PAUSE_S)


def open_channel(target: Target) -> grpc.Channel:
    """A way to *target*; nothing is asked yet."""
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # What comes is short: measuring how much the line holds wakes gRPC's threads as often as the answers do.
        ("grpc.http2.bdp_probe", 0),
    ]
    if target.credentials is None:
        return grpc.insecure_channel(target.address, options)
    return grpc.secure_channel(target.address, target.credentials, options)


def failures_in_a_row(before: int, welcomed: bool, trouble: Exception | None) -> int:
    """How often no stream lasted; the pause before the next one grows with it."""
    # Fenced off by another agent of the same name: the two would take the stream from each other for ever.
    fenced = isinstance(trouble, grpc.Call) and trouble.code() is grpc.StatusCode.ABORTED
    return 0 if welcomed and not fenced else before + 1


def longest_back_off_s(failures: int, ran_ns: int) -> float:
    """
    The longest pause after so many *failures* in a row, of a stream that was first tried *ran_ns* ago.

    It doubles from a second on, to ten seconds in the first two minutes and to a minute later.
    """
    # Agent and aggregator are often installed together, and the aggregator is the later one: a young agent that
    # paused for a minute by then would show nothing for so long. It makes no herd: at ten seconds with full jitter
    # 10,000 agents that all began together knock 2,000 times a second, for two minutes, at a port where nobody
    # listens; and who does listen sees each of them once, spread over ten seconds, as it bounds handshakes itself.
    bound_s = _LONGEST_YOUNG_BACK_OFF_S if ran_ns < _YOUNG_NS else _LONGEST_BACK_OFF_S
    return min(bound_s, 2.0 ** min(failures, _MOST_DOUBLINGS))


def live_due_ns(now_ns: int, every_ns: int) -> int:
    """
    When to tell the next Live, on the monotonic clock: just after the loops woke, who left the caches warm.

    Nodes tell at their own times all the same, as each counts its seconds from its own boot.
    """
    due_ns = now_ns + every_ns
    aligned_ns = due_ns - (due_ns - _AFTER_LOOKS_NS) % NS_PER_SECOND
    return aligned_ns if aligned_ns - now_ns > every_ns // 2 else due_ns


class _Session:
    """One stream: a generator that gRPC's own thread asks for messages, and a loop that reads the answers."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._sent = self._durable = 0
        self._pause_until_ns = 0
        self._live_every_ns = self._live_due_ns = 0
        self._over = threading.Event()
        self._moved = stream.spool.appended
        """Something may be sent now: a new batch, an answer, a drain, the end."""
        self._turn_in_s = _LONGEST_WAIT_S
        self._parted = False
        self.welcomed = threading.Event()

    def run(self) -> None:
        """Blocks until the stream ends. Raises grpc.RpcError where it broke, Retry where the token can not be read."""
        target = self._stream.target
        metadata = token_metadata(target.token_file)
        with open_channel(target) as channel:
            life_s = _STREAM_LIFE_S * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, guards nothing
            try:
                stub = CostStreamStub(channel)  # type: ignore[no-untyped-call]  # generated
                for answer in stub.Connect(self._messages(), timeout=life_s, metadata=metadata):
                    self._take(answer)
            finally:
                self._over.set()
                self._moved.set()
                if self._parted:
                    self._stream.drained.set()

    def _take(self, answer: stream_pb2.FromAggregator) -> None:
        kind = answer.WhichOneof("message")
        if kind == "welcome":
            if answer.welcome.clock_ns:
                self._stream.listener.heard(answer.welcome.clock_ns)
            self._agree(answer.welcome)
            self._live_every_ns = answer.welcome.live_interval_ns
            self._sent = self._durable = answer.welcome.durable_sequence_number
            self._acknowledge(self._durable)
            self.welcomed.set()
            self._stream.listener.connected(self._durable)
        elif kind == "ack":
            self._acknowledge(answer.ack.sequence_number)
        elif kind == "slow":
            self._pause_until_ns = self._stream.clock.now().monotonic_ns + answer.slow.wait_ns
        elif kind == "reject":
            reasons = sorted({refused.reason for refused in answer.reject.refused})
            self._stream.listener.rejected(answer.reject.sequence_number, reasons)
        elif kind == "price_book":
            self._stream.listener.prices_sent(answer.price_book.version, answer.price_book.yaml)
        self._moved.set()

    def _agree(self, welcome: stream_pb2.Welcome) -> None:
        spool = self._stream.spool
        if spool.wrote(welcome.durable_sequence_number, welcome.durable_batch_sha256):
            return
        spool.begin_epoch()
        raise Retry(
            f"the aggregator holds batch {welcome.durable_sequence_number} of this epoch and this spool did not"
            " write it, so it was restored or cloned: a new epoch begins and everything is sent again"
        )

    def _acknowledge(self, sequence_number: int) -> None:
        self._durable = max(self._durable, sequence_number)
        self._stream.spool.acknowledge(sequence_number, self._stream.clock.now().wall_ns)

    def _messages(self) -> Iterator[stream_pb2.FromNode]:
        yield stream_pb2.FromNode(hello=self._hello())
        while not self.welcomed.wait(timeout=1.0):
            if self._over.is_set():
                return
        while not self._over.is_set():
            self._moved.clear()
            entry = self._next()
            if entry is not None:
                self._sent = entry.sequence_number
                yield stream_pb2.FromNode(batch=stream_pb2.Batch.FromString(entry.message))
            elif self._is_drained():
                # Everything is acknowledged, so the stream may break from here on, and gRPC not come back for more.
                self._parted = True
                yield stream_pb2.FromNode(goodbye=self._goodbye())
                self._stream.drained.set()
                return
            elif (live := self._live()) is not None:
                yield stream_pb2.FromNode(live=live)
            else:
                # Until a fresh batch's turn or the next Live; whatever moves something ends it at once.
                self._moved.wait(timeout=self._turn_in_s)

    def _live(self) -> stream_pb2.Live | None:
        """What the node looks like, if it is time to tell; it is never sent again."""
        now = self._stream.clock.now()
        if not self._live_every_ns:
            return None
        left_ns = self._live_due_ns - now.monotonic_ns
        if left_ns > 0:
            self._turn_in_s = min(self._turn_in_s, left_ns / NS_PER_SECOND)
            return None
        self._live_due_ns = live_due_ns(now.monotonic_ns, self._live_every_ns)
        seen = self._stream.glimpse()
        return (
            None if seen is None else stream_pb2.Live(taken_at_ns=now.wall_ns, table=table_to_message(seen))
        )

    def _hello(self) -> stream_pb2.Hello:
        caller, position = self._stream.caller, self._stream.spool.position()
        return stream_pb2.Hello(
            role=stream_pb2.ROLE_AGENT,
            cluster=caller.node.cluster,
            cluster_uid=caller.cluster_uid(),
            node=caller.node.node,
            boot_id=caller.boot_id,
            version=caller.version,
            epoch=position.epoch,
            next_sequence_number=position.next_sequence_number,
            last_batch_sha256=position.last_sha256,
            window_ns=caller.window_ns,
            clock_ns=self._stream.clock.now().wall_ns,
            price_book_version=caller.price_book_version(),
        )

    def _goodbye(self) -> stream_pb2.Goodbye:
        return stream_pb2.Goodbye(reason="the agent was asked to stop", last_sequence_number=self._sent)

    def _next(self) -> Entry | None:
        now, spool = self._stream.clock.now(), self._stream.spool
        self._turn_in_s = _LONGEST_WAIT_S
        if (paused_ns := self._pause_until_ns - now.monotonic_ns) > 0:
            self._turn_in_s = min(_LONGEST_WAIT_S, paused_ns / NS_PER_SECOND)
            return None
        if self._sent - self._durable >= _IN_FLIGHT:
            return None
        if spool.position().next_sequence_number - 1 <= self._sent:
            return None  # without a look at the disk, as it is so nearly always
        entries = spool.after(self._sent, 1)
        if not entries:
            return None
        left_ns = self._spread_ns() - (now.wall_ns - entries[0].appended_at_ns)
        if 0 < left_ns <= self._spread_ns() and not self._stream.draining.is_set():
            self._turn_in_s = min(_LONGEST_WAIT_S, left_ns / NS_PER_SECOND)
            return None
        return entries[0]

    def _spread_ns(self) -> int:
        """How long this node lets a fresh batch lie, so that a fleet's do not arrive together."""
        node = self._stream.caller.node
        digest = hashlib.sha256(f"{node.cluster}/{node.node}".encode()).digest()
        most_ns = min(self._stream.caller.window_ns // 2, _LONGEST_SPREAD_NS)
        return int.from_bytes(digest[:8], "big") * most_ns >> 64

    def _is_drained(self) -> bool:
        if not self._stream.draining.is_set():
            return False
        return self._durable >= self._stream.spool.position().next_sequence_number - 1


def worded(error: Exception) -> str:
    """A stream's end in few words."""
    if isinstance(error, grpc.Call):
        return f"{error.code().name}: {error.details()}"
    return str(error)
