"""
Proof `refusals`: what a caller who is turned away costs the aggregator, in processor time and in memory.

SEED draws what is shown, CALLS is how often by each kind of caller; CI=1 takes the short form.
"""

import hashlib
import http.client
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import grpc
from gpucost.v1 import stream_pb2
from gpucost.v1.stream_pb2_grpc import CostStreamStub

HACK = Path(__file__).resolve().parents[1]
if str(HACK) not in sys.path:  # run as a file
    sys.path.insert(0, str(HACK))

from demo.child import programs_environ  # noqa: E402
from proofs.proof import CI, FULL, ROOT, Bar, Proof  # noqa: E402

CALLS = {CI: 200, FULL: 2_000}

MOST_CPU_MS = {CI: 2.0, FULL: 1.0}
"""
Of processor time, a call: 10,000 agents whose tokens all ended knock 333 times a second, as each waits for half a
minute on average between two tries. They may take a third of a core from those who are let in, and no more.
The short form is measured in a few of the system's ticks, so it sees only what is far off.
"""

MOST_GROWN_BYTES = 16 << 20
"""Over the whole run: nothing of a caller is kept, but what the allocator and gRPC's own caches take once."""

_WARM_UP = 50
_TICKS = os.sysconf("SC_CLK_TCK")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_SIGNED = (
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoieCIsImV4cCI6MX0"
)
"""A header, and claims of an issuer that is set up; whose signature it is nobody can know."""


@dataclass(frozen=True)
class Served:
    """The aggregator: where it is, and a token that it made for another cluster than callers name."""

    pid: int
    grpc: str
    http: str
    token: str


@dataclass(frozen=True)
class Kind:
    """A kind of caller: what it *shows*, with what is drawn anew each time, and the *end* that it has to come to."""

    end: str
    shows: str = ""
    is_reader: bool = False

    def shown(self, random: Random, served: Served) -> str:
        """What it shows this time."""
        drawn = "".join(random.choices(_LETTERS, k=342))
        return self.shows.format(signed=_SIGNED, token=served.token, drawn=drawn)


KINDS: Mapping[str, Kind] = {
    "nothing": Kind("UNAUTHENTICATED"),
    "wrong_token": Kind("UNAUTHENTICATED", "{token:.16}_{drawn:.43}"),
    "other_clusters_token": Kind("PERMISSION_DENIED", "{token}"),
    "forged_account": Kind("UNAUTHENTICATED", "{signed}.{drawn}"),
    "reader_nothing": Kind("401", is_reader=True),
    "reader_wrong_token": Kind("401", "{drawn:.43}", is_reader=True),
}


@dataclass
class Found:
    """Processor time a call by the kind of caller, calls that came to their end, and others; memory that was taken."""

    cpu_ms: dict[str, float] = field(default_factory=dict)
    refused: int = 0
    otherwise: int = 0
    grown_bytes: int = 0


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_bytes(pid: int) -> int:
    """Memory of a process now."""
    (found,) = re.findall(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found) * 1_024


@contextmanager
def serving(environ: Mapping[str, str]) -> Iterator[Served]:
    """An aggregator that knows one cluster, one issuer and one reader."""
    with tempfile.TemporaryDirectory(prefix="gpucost-rf-") as name:
        folder = Path(name)
        (folder / "keys.json").write_text('{"keys": []}')
        (folder / "writers.yaml").write_text(
            "issuers:\n  - issuer: https://issuer.example\n"
            f"    keys: {folder}/keys.json\n    cluster: east\n    agents: [gpucost:agent]\n"
        )
        (folder / "readers.yaml").write_text(f"readers:\n  - name: one\n    token: {secrets.token_hex(32)}\n")
        program, data = [sys.executable, "-m", "gpucost_aggregator"], f"--data-dir={folder}/data"
        files = [f"--{kind}-file={folder}/{kind}.yaml" for kind in ("writers", "readers")]
        ports = ["--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0"]
        with (folder / "log").open("wb") as log:
            running = subprocess.Popen([*program, "run", data, *ports, *files], stderr=log, env=dict(environ))
        try:
            while b"\n" not in (said := (folder / "log").read_bytes()):
                if running.poll() is not None:
                    raise RuntimeError(said.decode("utf-8", "replace"))
                time.sleep(0.05)
            told = json.loads(said.splitlines()[0])
            joined = subprocess.run(
                [*program, "join", "east", data, "--output=json"],
                check=True, capture_output=True, text=True, env=dict(environ),
            )  # fmt: skip
            yield Served(running.pid, told["grpc"], told["http"], json.loads(joined.stdout)["token"])
        finally:
            running.terminate()
            running.wait()


def measure(served: Served, calls: int, random: Random) -> Found:
    """Each kind of caller calls so often, on one connection of its own."""
    found = Found()
    for kind in KINDS.values():
        with calling(served, kind) as call:
            for _ in range(_WARM_UP):
                call(kind.shown(random, served))
    before_bytes = rss_bytes(served.pid)
    for name, kind in KINDS.items():
        with calling(served, kind) as call:
            began_s = cpu_seconds(served.pid)
            ends = [call(kind.shown(random, served)) for _ in range(calls)]
            if calls:
                found.cpu_ms[name] = round((cpu_seconds(served.pid) - began_s) / calls * 1e3, 3)
        found.refused += ends.count(kind.end)
        found.otherwise += calls - ends.count(kind.end)
    found.grown_bytes = rss_bytes(served.pid) - before_bytes
    return found


@contextmanager
def calling(served: Served, kind: Kind) -> Iterator[Callable[[str], str]]:
    """Calls with what is shown, and says to which end each came."""
    if kind.is_reader:
        connection = http.client.HTTPConnection(served.http)
        try:
            yield lambda shown: _read(connection, shown)
        finally:
            connection.close()
        return
    hello = stream_pb2.Hello(
        role=stream_pb2.ROLE_AGENT, cluster="west", node="n", epoch="e", window_ns=60 * 10**9
    )
    with grpc.insecure_channel(served.grpc) as channel:
        stub = CostStreamStub(channel)  # type: ignore[no-untyped-call]  # generated
        yield lambda shown: _write(stub, shown, hello)


def _write(stub: CostStreamStub, shown: str, hello: stream_pb2.Hello) -> str:
    metadata = (("authorization", f"Bearer {shown}"),) if shown else ()
    call = stub.Connect(iter([stream_pb2.FromNode(hello=hello)]), metadata=metadata)
    with suppress(grpc.RpcError):
        for _ in call:
            call.cancel()
    return str(call.code().name)


def _read(connection: http.client.HTTPConnection, shown: str) -> str:
    headers = {"Authorization": f"Bearer {shown}"} if shown else {}
    connection.request("GET", "/api/v1/reports/namespaces", headers=headers)
    answer = connection.getresponse()
    answer.read()
    return str(answer.status)


def bars(found: Found, form: str) -> tuple[Bar, ...]:
    """What the figures have to keep."""
    most = MOST_CPU_MS[form]
    costs = {name: found.cpu_ms.get(name) for name in KINDS}
    kept = found.grown_bytes < MOST_GROWN_BYTES
    return (
        *(
            Bar(f"{name}_cpu_ms", f"< {most:g}", cost, form, cost is not None and cost < most)
            for name, cost in costs.items()
        ),
        Bar("grown_bytes", f"< {MOST_GROWN_BYTES}", found.grown_bytes, form, kept),
        Bar("ended_otherwise", "= 0", found.otherwise, form, found.otherwise == 0),
    )


def main(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> int:
    """Run the proof; its exit code."""
    form = CI if os.environ.get("CI") == "1" else FULL
    seed = int(os.environ.get("SEED") or secrets.randbelow(2**32))
    calls = int(os.environ.get("CALLS") or CALLS[form])
    inputs = hashlib.sha256(repr((sorted(KINDS), calls, seed, _SIGNED)).encode()).hexdigest()
    began = time.monotonic()
    with serving(environ or programs_environ()) as served:
        found = measure(served, calls, Random(seed))
    return Proof(
        name="refusals",
        seed=seed,
        inputs_sha256=inputs,
        seconds=time.monotonic() - began,
        compared=found.refused,
        bars=bars(found, form),
        figures={f"{name}_cpu_ms": cost for name, cost in found.cpu_ms.items()}
        | {"calls_a_kind": calls, "grown_bytes": found.grown_bytes, "ended_otherwise": found.otherwise},
    ).publish(folder or ROOT / "build" / "proofs")


if __name__ == "__main__":
    sys.exit(main())
