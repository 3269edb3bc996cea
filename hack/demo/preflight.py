"""Before anything is started: can what was asked for be played at all? Else there is one message, and no more."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from demo.audit import price_list
from demo.child import programs_environ, tied_to_this
from demo.wish import Wish, WrongWish

_PATIENCE_S = 30


def check(wish: Wish) -> None:
    """
    The simulator reads the scenario, the agent the price book, and the audit the price book in its own way.

    Raises:
        WrongWish: One of them refuses it, or the simulated driver is not built.
    """
    if not (wish.library / "libnvidia-ml.so.1").exists():
        raise WrongWish(
            f"the simulated driver is not built: make library, or set NVML_LIBRARY_DIR ({wish.library})"
        )
    _scenario(wish)
    if wish.price_book is not None:
        _price_book(wish.price_book)


def _scenario(wish: Wish) -> None:
    with _program(
        ["simnode", "check", "--scenario", str(wish.scenario), "--seed", str(wish.seed)]
    ) as simulator:
        _, words = simulator.communicate(timeout=_PATIENCE_S)
    if simulator.returncode:
        raise WrongWish(_last_line(words))


def _price_book(book: Path) -> None:
    """The agent's own check reads the book first; what else it says about this machine is of no interest."""
    settings = ["--cluster", "demo", "--price-book", str(book), "--spool-dir", tempfile.gettempdir()]
    with _program(["gpucost_agent", "check", *settings, "--metrics-listen", "127.0.0.1:0"]) as agent:
        assert agent.stdout is not None
        is_read = bool(agent.stdout.readline())
        agent.kill()
        _, words = agent.communicate()
    if not is_read:
        raise WrongWish(_last_line(words).removeprefix("gpucost-agent: "))
    if refusal := price_list.refusal(book.read_text(encoding="utf-8")):
        raise WrongWish(f"{book}:{refusal}")


def _program(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=programs_environ(),
        start_new_session=True,
        preexec_fn=tied_to_this(),  # noqa: PLW1509 (no threads here)
    )


def _last_line(words: str) -> str:
    lines = words.strip().splitlines()
    return lines[-1] if lines else "it ended without a word"
