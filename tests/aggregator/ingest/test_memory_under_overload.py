"""A store that takes nothing for a while, and many senders: memory stays bounded, and nothing is lost or doubled."""

import asyncio
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import grpc
import grpc.aio
from gpucost.facts import WorkloadFacts
from gpucost.identity import Device, NodeId
from gpucost.system_clock import SystemClock
from gpucost.v1 import stream_pb2, stream_pb2_grpc
from gpucost.wire_bounds import MAX_LABELS, MAX_NAME_BYTES

from chaos.mapped import Disk
from contracts.agent_peer import Peer, a_hello, a_message
from contracts.ledger_rows import MINUTE_NS, a_slice
from demo.child import programs_environ
from gpucost_aggregator.ingest.intake import ROW_BYTES
from gpucost_aggregator.ingest.writer import WriterLimits
from gpucost_aggregator.store.rows import AgentId

SHIM = Path(__file__).resolve().parents[3] / "hack/diskshim"
STREAMS, BATCHES = 24, 100
SLICES, PODS = 20, 8
STORE_BYTES = 64 << 20
COMMIT_ROW_BYTES = 1_024
"""Of a row on its way into the store, beside the row itself."""

MESSAGES_A_STREAM = 5
"""The one that is read and waits for room, as it came and as it is; the one that comes; and what frees them late."""


def a_full_batch(stream: int) -> stream_pb2.Batch:
    """As many labels as a pod may have, each as long as it may be: a megabyte that is read into two."""
    node = NodeId("east", f"node-{stream}")
    rows = [
        a_slice(node=node, device=Device(f"GPU-{UUID(int=(stream << 64) + place)}"))
        for place in range(SLICES)
    ]
    labels = {f"{place:0{MAX_NAME_BYTES}}": "v" * MAX_NAME_BYTES for place in range(MAX_LABELS)}
    pods = tuple(
        WorkloadFacts("research", f"pod-{place}", f"uid-{place}", 1, labels) for place in range(PODS)
    )
    return a_message(1, *rows, workloads=pods)


@dataclass
class Running:
    """The program, and its disk."""

    process: subprocess.Popen[str]
    disk: Disk
    grpc: str
    http: str

    def memory_bytes(self, what: str) -> int:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        (found,) = re.findall(rf"^{what}:\s+(\d+) kB$", text, re.MULTILINE)
        return int(found) * 1_024

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self.http}{path}") as answer:
            return str(answer.read().decode())

    def metric(self, name: str) -> int:
        (found,) = re.findall(rf"^{name} (\S+)$", self.get("/metrics"), re.MULTILINE)
        return int(float(found))


@contextmanager
def running(folder: Path) -> Iterator[Running]:
    subprocess.run(["make", "-s", "-C", str(SHIM)], check=True)
    disk = Disk(folder / "numbers", folder / "data")
    ports = ("--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0")
    store = (f"--data-dir={folder}/data", f"--memory-limit={STORE_BYTES}", "--threads=1")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gpucost_aggregator", "run", *store, *ports],
            stderr=log,
            env=programs_environ() | disk.environ() | {"LD_PRELOAD": str(SHIM / "build/libdiskshim.so")},
            text=True,
        )
    try:
        while b"\n" not in (said := (folder / "log").read_bytes()):
            assert process.poll() is None, said
        told = json.loads(said.splitlines()[0])
        yield Running(process, disk, told["grpc"], told["http"])
    finally:
        disk.slow(0)
        process.terminate()
        assert process.wait(60) == 0


@dataclass
class Sender:
    """One stream that sends as fast as it can."""

    stream: int
    batches: int
    sent: int = 0
    acknowledged: int = 0
    others: list[str] = field(default_factory=list)

    async def run(self, address: str, begin_ns: int) -> None:
        message = a_full_batch(self.stream)
        async with a_connection(address) as peer:
            await peer.greet(a_hello(AgentId(NodeId("east", f"node-{self.stream}"), "epoch-1")))
            hearing = asyncio.create_task(self._hear(peer))
            for number in range(1, self.batches + 1):
                message.sequence_number = number
                message.table.window_start_ns = begin_ns + (number - 1) * MINUTE_NS
                message.closed_through_ns = begin_ns + number * MINUTE_NS
                await peer.say(batch=message)
                self.sent += 1
            await hearing

    async def _hear(self, peer: Peer) -> None:
        while self.acknowledged < self.batches:
            answer = await peer.hear()
            kind = answer.WhichOneof("message")
            if kind == "ack":
                self.acknowledged = answer.ack.sequence_number
            else:
                self.others.append(kind)


@asynccontextmanager
async def a_connection(address: str) -> AsyncIterator[Peer]:
    # Each has a connection of its own, as agents do.
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options) as channel:
        call = stream_pb2_grpc.CostStreamStub(channel).Connect()
        yield Peer(call)
        call.cancel()


async def until_nothing_moves(senders: list[Sender]) -> None:
    """Until they have sent all, or are held up."""
    before, still = -1, 0
    while still < 20:
        await asyncio.sleep(0.1)
        sent = sum(sender.sent for sender in senders)
        still = still + 1 if sent == before else 0
        before = sent


def test_memory_is_bounded_while_a_store_takes_nothing(tmp_path: Path) -> None:
    begin_ns = SystemClock().now().wall_ns // MINUTE_NS * MINUTE_NS - 2 * BATCHES * MINUTE_NS
    senders = [Sender(stream, BATCHES) for stream in range(STREAMS)]
    limits, message_bytes = WriterLimits(), a_full_batch(0).ByteSize()
    most_bytes = (
        limits.max_waiting * ROW_BYTES
        + limits.max_commit * COMMIT_ROW_BYTES
        + STREAMS * MESSAGES_A_STREAM * message_bytes
        + STORE_BYTES
    )

    async def scene(program: Running) -> int:
        idle_bytes = program.memory_bytes("VmRSS")
        program.disk.hold()
        sending = [asyncio.create_task(sender.run(program.grpc, begin_ns)) for sender in senders]
        await until_nothing_moves(senders)
        assert sum(sender.acknowledged for sender in senders) == 0
        assert sum(sender.sent for sender in senders) < STREAMS * BATCHES
        program.disk.slow(0)
        await asyncio.gather(*sending)
        return idle_bytes

    with running(tmp_path) as program:
        idle_bytes = asyncio.run(scene(program))
        grown_bytes = program.memory_bytes("VmHWM") - idle_bytes
        # Had it taken in all that was sent, it would have taken several times as much.
        assert STREAMS * BATCHES * message_bytes > 3 * most_bytes
        assert grown_bytes < most_bytes
        assert {kind for sender in senders for kind in sender.others} == {"slow"}
        assert program.metric("gpucost_slices_written_total") == STREAMS * BATCHES * SLICES
        for name in ("slices_duplicate", "slices_refused", "conflicts", "sequence_gaps", "batches_malformed"):
            assert program.metric(f"gpucost_{name}_total") == 0
        total = json.loads(program.get("/api/v1/reports/namespaces?window=7d"))["total"]
        assert int(total["charged_ns"]) == STREAMS * BATCHES * SLICES * MINUTE_NS
