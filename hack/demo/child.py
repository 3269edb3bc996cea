"""One program that the demo started: its log, its ready line, its end."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from demo.wish import ROOT

_READY_S = 30
_TAIL_LINES = 15
_READY = "ready {"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Trouble(Exception):
    """The demo can not go on; *reason* is one line for a person, *last_words* are the end of a program's log."""

    def __init__(self, reason: str, last_words: Sequence[str] = ()) -> None:
        super().__init__("\n".join([reason, *last_words]))
        self.reason = reason
        self.last_words = tuple(last_words)


def programs_environ() -> dict[str, str]:
    """This process's environment with the programs' folders, and without settings of theirs."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GPUCOST_")}
    folders = (str(ROOT / part) for part in ("proto", "agent", "aggregator", "hack"))
    return own | {"PYTHONPATH": ":".join(folders), "PYTHONUNBUFFERED": "1"}


def tied_to_this() -> Callable[[], None]:
    """What a child does between fork and exec, so that it ends with this process, even by `kill -9`."""
    parent = os.getpid()

    def tie() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
        if os.getppid() != parent:
            os._exit(1)

    return tie


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
                preexec_fn=tied_to_this(),  # noqa: PLW1509 (no threads here)
            )

    def ready(self) -> dict[str, Any]:
        """Wait for its line `ready {...}`."""
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            for line in self.log.read_text(errors="replace").splitlines():
                if line.startswith(_READY):
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
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        code = self.exit_code()
        how = "" if code is None else f" (signal {-code})" if code < 0 else f" (exit status {code})"
        return Trouble(
            f"the {self.name.replace('/', ' ', 1)} {what}{how}: the run can not go on",
            [line for line in lines if not line.startswith(_READY)][-_TAIL_LINES:],
        )
