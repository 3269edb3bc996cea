"""A process that has the embedded store open while it can, and says whether it holds the lease of it."""

import os
import subprocess
import sys
import threading
from pathlib import Path

from gpucost.trouble import EXIT_STORE, Stop

from gpucost_aggregator.lease import StoreLease
from gpucost_aggregator.store.duckdb_store import DuckDBStore


class StoreCandidate:
    """It, from outside; whoever finds the store locked ends, and is started again by `go_on`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._one_at_a_time = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._is_over = False

    def go_on(self) -> None:
        """Open the store, if another one does not have it open."""
        if self._is_over or (self._child is not None and self._child.poll() is None):
            return
        self._wait()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "contracts.store_candidate", str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        )
        if not self._hear():
            assert self._child.wait() == EXIT_STORE

    def is_held(self) -> bool:
        if self._child is None or self._child.poll() is not None:
            return False
        with self._one_at_a_time:
            return self._say("held")

    def end(self) -> None:
        self._is_over = True
        if self._child is not None and self._child.poll() is None:
            assert not self._say("end")
        self._wait()

    def die(self) -> None:
        self._is_over = True
        if self._child is not None:
            self._child.kill()
        self._wait()

    def _say(self, word: str) -> bool:
        assert self._child is not None
        assert self._child.stdin is not None
        self._child.stdin.write(f"{word}\n")
        self._child.stdin.flush()
        return self._hear()

    def _hear(self) -> bool:
        assert self._child is not None
        assert self._child.stdout is not None
        return self._child.stdout.readline() == "True\n"

    def _wait(self) -> None:
        if self._child is not None:
            self._child.__exit__(None, None, None)


def main(folder: Path) -> int:
    """The process itself: a word a line in, True or False out."""
    try:
        store = DuckDBStore(folder)
    except Stop as trouble:
        return trouble.exit_code
    lease = StoreLease()
    sys.stdout.write(f"{lease.is_held()}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        if line == "end\n":
            lease.end()
        sys.stdout.write(f"{lease.is_held()}\n")
        sys.stdout.flush()
        if line == "end\n":
            break
    store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
