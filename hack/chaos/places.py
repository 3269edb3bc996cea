"""One program of a run and where it lives: an agent, a watcher or the aggregator; what was killed comes back."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.mapped import Disk
from demo.child import Child

RESTART_S = 2.0
"""What ended stays away for so long, as in a cluster."""

_PATIENCE_S = 20


@dataclass(eq=False)
class Place:
    """
    A program that is started again whenever it ends.

    *held*: it is to stay down for now. *killed_at_ns*: when the harness killed it, None if it did not.
    """

    child: Child
    disk: Disk | None = None
    held: bool = False
    killed_at_ns: int | None = None
    again_at: float | None = None

    @property
    def name(self) -> str:
        return self.child.name

    @property
    def runs(self) -> bool:
        return self.child.exit_code() is None and self.child.process is not None

    def kill(self) -> None:
        """Kill -9."""
        self.killed_at_ns = time.time_ns()
        self.child.kill()

    def ask_to_end(self) -> None:
        """SIGTERM; its end counts as the harness's doing."""
        self.killed_at_ns = time.time_ns()
        self.child.ask_to_end()

    def said(self, offset: int = 0) -> str:
        """Its log from *offset* on."""
        try:
            with self.child.log.open("rb") as log:
                log.seek(offset)
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    @property
    def log_size(self) -> int:
        """How much it has said."""
        return self.child.log.stat().st_size if self.child.log.exists() else 0


@dataclass(eq=False)
class AgentPlace(Place):
    """
    An agent's: its node, its GPUs' UUIDs, its spool, its port at the proxy, and where it tells of itself.

    *is_gone*: the node was deleted. *alone_since_ns*: what it closed since then is nowhere else, and dies with it.
    *unread* are GPUs that it has not read since it was started last.
    """

    cluster: str = ""
    node: str = ""
    gpus: Sequence[str] = ()
    spool: Path = Path()
    port: int = 0
    metrics: str = ""
    is_gone: bool = False
    unread: set[str] = field(default_factory=set)
    alone_since_ns: int | None = None
    look_at: float = 0.0


@dataclass
class ProxyControl:
    """Commands for the proxy; they take a moment."""

    path: Path
    _file: Any = None

    def ask(self, place: AgentPlace, do: str = "state", **more: Any) -> dict[str, Any]:
        """Do something to an agent's way, and say how it is."""
        if self._file is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(_PATIENCE_S)
            connection.connect(str(self.path))
            self._file = connection.makefile("rw")
            # The file is what keeps it open.
            connection.close()
        self._file.write(json.dumps({"do": do, "port": place.port, **more}) + "\n")
        self._file.flush()
        answer: dict[str, Any] = json.loads(self._file.readline())
        return answer

    def close(self) -> None:
        """No more commands."""
        if self._file is not None:
            self._file.close()
            self._file = None
