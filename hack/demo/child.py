"""One program that the demo started: its log, its ready line, its end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_READY_S = 30
_TAIL_LINES = 15


class Trouble(Exception):
    """The demo can not go on; the message is for a person."""


class Child:
    """A process with its output in a file; it can be started again, and its log goes on."""

    def __init__(self, name: str, arguments: Sequence[str], environ: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.starts = 0
        self._arguments = [sys.executable, "-m", *arguments]
        self._environ = dict(environ)
        self.log = folder / f"{name.replace('/', '-')}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, for the first time or again; its log goes on."""
        self.starts += 1
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
                # Ctrl-C is the demo's; it ends its children in their order.
                start_new_session=True,
            )

    def ready(self) -> dict[str, Any]:
        """Wait for its line `ready {...}`."""
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            for line in self.log.read_text(errors="replace").splitlines():
                if line.startswith("ready {"):
                    facts: dict[str, Any] = json.loads(line.removeprefix("ready "))
                    return facts
            if self.exit_code() is not None:
                break
            time.sleep(0.05)
        raise self.trouble("did not get ready")

    def exit_code(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return None if self.process is None else self.process.poll()

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def ask_to_end(self) -> None:
        """SIGTERM."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def end(self, within_s: float) -> None:
        """Wait for its end; kill it if that takes too long."""
        if self.process is None:
            return
        try:
            self.process.wait(timeout=within_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def trouble(self, what: str) -> Trouble:
        """What happened to it, with the end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:] if self.log.exists() else []
        code = self.exit_code()
        how = "" if code is None else f" (exit status {code})"
        return Trouble(
            f"{self.name} {what}{how}. The end of its log:\n" + "\n".join(f"  {line}" for line in lines)
        )
