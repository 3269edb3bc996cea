"""
Proof `footprint`: what the agent costs its node, beside what another exporter costs on the same one.

SEED and SECONDS set seed and length; CI=1 takes the short form. Prints what dominates, too.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.child import Child, Trouble, programs_environ
from footprint import books, imports, process_meter, scored
from footprint.books import Books
from footprint.busy_node import GPUS, PODS, PROCESSES, scenario
from footprint.process_meter import Look
from footprint.stage import Plan, Stage
from proofs.proof import CI, FULL, ROOT, Bar, Proof, table

SECONDS = {CI: 120, FULL: 900}
WARM_UP_S = {CI: 45, FULL: 300}
"""So long nothing is counted: imports, the first look at everything, memory that fills up once."""

MIB = 1 << 20
MOST_RSS, MOST_CORES, MOST_SLOPE = 80 * MIB, 0.01, MIB
_LOOK_S = 5.0
_LAST_WINDOW_S = 75
"""So long after the run its last window may take to arrive: it is closed late, and lies in the spool for a while."""


@dataclass(frozen=True, slots=True)
class Wish:
    form: str
    seed: int
    seconds: float
    warm_up_s: float
    window_s: int = 60
    agent_path: tuple[Path, ...] = ()
    with_peer: bool = True


@dataclass(slots=True)
class Course:
    """The looks at one program after the warm-up."""

    looks: list[Look] = field(default_factory=list)

    @property
    def rss_bytes(self) -> int | None:
        return self.looks[-1].rss_bytes if self.looks else None

    @property
    def cores(self) -> float | None:
        """CPU time by elapsed time."""
        if len(self.looks) < 2:
            return None
        first, last = self.looks[0], self.looks[-1]
        return (last.cpu_s - first.cpu_s) / (last.at_s - first.at_s)

    @property
    def slope_bytes_per_hour(self) -> float | None:
        slope = process_meter.slope([(look.at_s, look.rss_bytes) for look in self.looks])
        return None if slope is None else slope * 3_600

    def by_thread(self) -> list[tuple[str, float]]:
        """Cores by thread, the most first; those of threads that have ended meanwhile as one."""
        if len(self.looks) < 2:
            return []
        first, last = self.looks[0], self.looks[-1]
        spent = {name: cpu_s - first.by_thread.get(name, 0.0) for name, cpu_s in last.by_thread.items()}
        spent["(threads that ended)"] = last.cpu_s - first.cpu_s - sum(spent.values())
        elapsed_s = last.at_s - first.at_s
        return sorted(((name, cpu_s / elapsed_s) for name, cpu_s in spent.items()), key=lambda row: -row[1])


@dataclass(slots=True)
class Found:
    """What a run showed."""

    agent: Course = field(default_factory=Course)
    peer: Course = field(default_factory=Course)
    books: Books | None = None
    trouble: str = ""
    modes: list[dict[str, Any]] = field(default_factory=list)
    import_rss_bytes: int | None = None
    peer_name: str | None = None


def wish(environ: Mapping[str, str]) -> Wish:
    """As the environment asks."""
    form = CI if environ.get("CI") == "1" else FULL
    seed = int(environ.get("SEED") or secrets.randbelow(2**32))
    return Wish(form, seed, float(environ.get("SECONDS") or SECONDS[form]), WARM_UP_S[form])


def run(wished: Wish, play: str) -> Found:
    """The run, up to where something went wrong."""
    found = Found()
    stage = Stage(Plan(play, wished.seed, wished.window_s, wished.agent_path, wished.with_peer))
    try:
        found.import_rss_bytes = imports.all_imports(programs_environ())
        stage.start()
        found.peer_name = stage.peer_name if stage.peer else None
        if stage.no_peer:
            print(f"no peer: {stage.no_peer}", file=sys.stderr)
        _measure(wished, stage, found)
        found.books = _books(stage, wished.window_s)
        held = scored.slices(stage.base, stage.began_ns + 10**9, wished.window_s)
        stage.stop()
        if held is not None:
            found.modes = scored.modes(held, stage.began_ns, stage.truth, stage.scenario, wished.window_s)
    except Trouble as trouble:
        found.trouble = str(trouble)
    finally:
        stage.stop()
    if not found.trouble and not os.environ.get("KEEP"):
        stage.remove()
    else:
        print(f"logs are in {stage.folder}", file=sys.stderr)
    return found


def _measure(wished: Wish, stage: Stage, found: Found) -> None:
    _wait(wished.warm_up_s, stage)
    until = time.monotonic() + wished.seconds
    while True:
        _look(stage.agent, found.agent)
        if stage.peer is not None:
            _look(stage.peer, found.peer)
        left = until - time.monotonic()
        if left <= 0:
            return
        _wait(min(_LOOK_S, left), stage)


def _look(child: Child, course: Course) -> None:
    assert child.process is not None
    try:
        course.looks.append(process_meter.look(child.process.pid))
    except OSError:
        raise child.trouble("ended") from None


def _wait(seconds: float, stage: Stage) -> None:
    time.sleep(seconds)
    stage.check()


def _books(stage: Stage, window_s: int) -> Books | None:
    """With the window that was open when the run ended, if it comes."""
    last_s = time.time() // window_s * window_s
    expected = last_s // window_s - -(-stage.began_ns // (window_s * 10**9)) - 1
    deadline = time.monotonic() + _LAST_WINDOW_S
    while True:
        held = books.read(stage.base, stage.began_ns + 10**9, window_s)
        if (held is not None and held.windows >= expected) or time.monotonic() > deadline:
            return held
        _wait(1.0, stage)


def bars(found: Found, form: str) -> tuple[Bar, ...]:
    """What is asked of an agent."""
    agent, held = found.agent, found.books
    rows = [
        Bar("rss_bytes", f"< {MOST_RSS}", agent.rss_bytes, form, _below(agent.rss_bytes, MOST_RSS)),
        Bar("cpu_cores", f"< {MOST_CORES}", _rounded(agent.cores, 5), form, _below(agent.cores, MOST_CORES)),
    ]
    if form == FULL:
        slope = agent.slope_bytes_per_hour
        rows.append(
            Bar(
                "rss_slope_bytes_per_hour",
                f"< {MOST_SLOPE}",
                _rounded(slope),
                form,
                _below(slope, MOST_SLOPE),
            )
        )
    open_ns, blind_ns = (None, None) if held is None else (held.open_ns, held.blind_ns)
    rows.append(Bar("open_ns", "= 0", open_ns, form, open_ns == 0))
    rows.append(Bar("blind_ns", "= 0", blind_ns, form, blind_ns == 0))
    return tuple(rows)


def _below(value: float | None, most: float) -> bool:
    return value is not None and value < most


def _rounded(value: float | None, digits: int = 0) -> float | None:
    return None if value is None else round(value, digits) if digits else round(value)


def figures(found: Found) -> dict[str, object]:
    """For the file."""
    agent, peer, held = found.agent, found.peer, found.books or Books()
    return {
        "rss_bytes": agent.rss_bytes,
        "rss_slope_bytes_per_hour": _rounded(agent.slope_bytes_per_hour),
        "cpu_cores": _rounded(agent.cores, 5),
        "threads": agent.looks[-1].threads if agent.looks else None,
        "peer_name": found.peer_name,
        "peer_rss_bytes": peer.rss_bytes,
        "peer_cpu_cores": _rounded(peer.cores, 5),
        "import_rss_bytes": found.import_rss_bytes,
        "gpus": GPUS,
        "process_entries": PROCESSES,
        "pods": PODS,
        "windows": held.windows,
        "slices": held.rows,
        "open_ns": held.open_ns if found.books else None,
        "blind_ns": held.blind_ns if found.books else None,
        "rss_bytes_by_minute": [look.rss_bytes for look in agent.looks[:: round(60 / _LOOK_S)]],
        "accuracy": [{name: mode[name] for name in _SHOWN} for mode in found.modes],
        "cpu_cores_by_thread": {name: round(cores, 5) for name, cores in agent.by_thread()},
    }


_SHOWN = ("mode", "source", "method", "holders", "used_p99", "theory_p99", "charged_p99", "unwatched")


def show(found: Found) -> None:
    """What dominates, and how the two programs compare."""
    agent, peer = found.agent, found.peer
    if agent.rss_bytes is None or agent.cores is None:
        return
    print("memory: what each import adds, in fresh processes, and the rest while it runs")
    groups = imports.breakdown(programs_environ())
    rest = agent.rss_bytes - sum(size for _, size in groups)
    print(_sizes([*groups, ("running, all sources on", rest)]))
    print("CPU: cores by thread")
    print(table(("thread", "cores"), [(name, f"{cores:.5f}") for name, cores in agent.by_thread()]))
    if found.modes:
        print("the books beside what really happened")
        print(table(_SHOWN, [[mode[name] for name in _SHOWN] for mode in found.modes]))
    if peer.rss_bytes is None or peer.cores is None:
        return
    rows = [
        ("agent", f"{agent.rss_bytes / MIB:.1f} MiB", f"{agent.cores:.5f}"),
        (found.peer_name, f"{peer.rss_bytes / MIB:.1f} MiB", f"{peer.cores:.5f}"),
        ("ratio", f"{agent.rss_bytes / peer.rss_bytes:.2f}", f"{agent.cores / max(peer.cores, 1e-9):.2f}"),
    ]
    print(table(("program", "memory", "cores"), rows))


def _sizes(rows: Sequence[tuple[str, int]]) -> str:
    return table(("what", "MiB"), [(name, f"{size / MIB:.1f}") for name, size in rows])


def main(wished: Wish | None = None, folder: Path | None = None) -> int:
    """Run the proof; its exit code."""
    wished = wished or wish(os.environ)
    play = scenario(wished.seed, int(wished.warm_up_s + wished.seconds) + _LAST_WINDOW_S + 60)
    began = time.monotonic()
    found = run(wished, play)
    if found.trouble:
        print(found.trouble, file=sys.stderr)
    show(found)
    return Proof(
        name="footprint",
        seed=wished.seed,
        inputs_sha256=hashlib.sha256(play.encode()).hexdigest(),
        seconds=time.monotonic() - began,
        compared=found.books.rows if found.books else 0,
        bars=bars(found, wished.form),
        figures=figures(found),
    ).publish(folder or ROOT / "build" / "proofs")


if __name__ == "__main__":
    sys.exit(main())
