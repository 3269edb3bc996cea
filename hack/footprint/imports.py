"""What an agent's memory is before it does anything: its modules, group by group, each time in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

_RSS = "print(next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmRSS')) * 1024)"

GROUPS = (
    ("python itself", "pass"),
    ("grpc", "import grpc"),
    (
        "protobuf, both APIs",
        "import gpucost.wire, gpucost.v1.stream_pb2_grpc, gpucost.kubelet.v1.api_pb2_grpc",
    ),
    ("prometheus_client", "import prometheus_client, prometheus_client.exposition, wsgiref.simple_server"),
    ("structlog", "import structlog"),
    ("yaml", "import yaml"),
    ("sqlite3", "import sqlite3"),
    ("pynvml", "import pynvml"),
    ("kubernetes, as used", "from gpucost_agent.sources.pods import kube_client; kube_client.load()"),
    ("gpucost_agent", "import gpucost_agent.__main__"),
)


def all_imports(environ: Mapping[str, str]) -> int:
    """Resident bytes of a process that has imported everything that the agent uses, and does nothing."""
    return _measured("; ".join(code for _, code in GROUPS), environ)


def breakdown(environ: Mapping[str, str]) -> list[tuple[str, int]]:
    """What each group adds to those before it."""
    found, before = [], 0
    for number, (name, _) in enumerate(GROUPS, start=1):
        rss = _measured("; ".join(code for _, code in GROUPS[:number]), environ)
        found.append((name, rss - before))
        before = rss
    return found


def _measured(code: str, environ: Mapping[str, str]) -> int:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; {_RSS}"],
        env=dict(environ),
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout)
