"""What a refused caller costs the aggregator: its processor time a call, by what the caller shows. Prints a table."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import grpc
from gpucost.v1 import stream_pb2
from gpucost.v1.stream_pb2_grpc import CostStreamStub

CALLS = 2_000
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def refused(stub: CostStreamStub, token: str, hello: stream_pb2.Hello) -> str:
    """One call; the code with which it ended."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    call = stub.Connect(iter([stream_pb2.FromNode(hello=hello)]), metadata=metadata)
    with suppress(grpc.RpcError):
        for _ in call:
            pass
    return str(call.code().name)


def main() -> int:
    """Start an aggregator, let a cluster join, and call it in vain."""
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder, "keys.json")
        keys.write_text('{"keys": []}')
        writers = Path(folder, "writers.yaml")
        writers.write_text(
            "issuers:\n  - issuer: https://issuer.example\n"
            f"    keys: {keys}\n    cluster: east\n    agents: [gpucost:agent]\n"
        )
        program = [sys.executable, "-m", "gpucost_aggregator"]
        ports = ("--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0")
        data = f"--data-dir={folder}/data"
        serving = subprocess.Popen(
            [*program, "run", data, *ports, f"--writers-file={writers}"], stderr=subprocess.PIPE, text=True
        )
        try:
            assert serving.stderr is not None
            address = json.loads(serving.stderr.readline())["grpc"]
            joined = subprocess.run(
                [*program, "join", "east", data, "--output=json"], check=True, capture_output=True, text=True
            )
            token = json.loads(joined.stdout)["token"]
            measure(serving.pid, address, token)
        finally:
            serving.terminate()
            serving.communicate()
    return 0


def measure(pid: int, address: str, token: str) -> None:
    """The table."""
    hello = stream_pb2.Hello(
        role=stream_pb2.ROLE_AGENT, cluster="west", node="n", epoch="e", window_ns=60 * 10**9
    )
    part = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoieCIsImV4cCI6MX0"
    shown = {
        "nothing": "",
        "a wrong token": f"{token[:-4]}AAAA",
        "another cluster's token": token,
        "a forged service account's token": f"{part}.AAAA",
    }
    print("| shown | ends with | processor time a call |\n| --- | --- | --- |")
    with grpc.insecure_channel(address) as channel:
        stub = CostStreamStub(channel)  # type: ignore[no-untyped-call]  # generated
        for what, text in shown.items():
            code = refused(stub, text, hello)
            before = cpu_seconds(pid)
            for _ in range(CALLS):
                refused(stub, text, hello)
            print(f"| {what} | {code} | {(cpu_seconds(pid) - before) / CALLS * 1e3:.2f} ms |")


if __name__ == "__main__":
    sys.exit(main())
