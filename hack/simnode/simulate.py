"""Runs a scenario in real time: one process for the drivers of all its nodes."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from simnode.mapping import NodeMapping
from simnode.parents_end import kept
from simnode.sampling import SampledGpu
from simnode.scenario import ScenarioError, load
from simnode.truth import Truth, open_private
from simnode.world import Node, Scenario

TICK_SECONDS = 0.05
"""How often the mappings follow the clock; well below a sample's period."""


class Simulation:
    """All GPUs of a scenario, moved together. It knows no clock."""

    def __init__(self, scenario: Scenario, start_unix_ns: int, truth: Truth) -> None:
        self.start_unix_ns = start_unix_ns
        self.truth = truth
        self.nodes: list[tuple[Node, list[SampledGpu]]] = [
            (node, [SampledGpu(node, gpu, scenario.seed) for gpu in node.gpus])
            for cluster in scenario.clusters
            for node in cluster.nodes
        ]

    def advance(self, until: int) -> None:
        """To an instant, from the start; an earlier one than the last changes nothing."""
        while self.truth.next_end() <= until:
            end = self.truth.next_end()
            self._advance_gpus(end)
            self.truth.close(end, self.nodes)
        self._advance_gpus(until)

    def _advance_gpus(self, until: int) -> None:
        for _, gpus in self.nodes:
            for gpu in gpus:
                gpu.advance(until)

    def finish(self, until: int) -> None:
        """Closes the last window where it is."""
        self.advance(until)
        self.truth.close(until, self.nodes)
        self.truth.end(until)


@dataclass(frozen=True, slots=True)
class Account:
    uid: int
    gid: int


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simnode simulate", description=__doc__)
    parser.add_argument("--scenario", required=True, metavar="FILE")
    parser.add_argument("--seed", type=int, metavar="N", help="wins over the scenario's own")
    parser.add_argument(
        "--start", default="now", metavar="UNIX_NS|now", help="may lie in the past: it is caught up"
    )
    parser.add_argument(
        "--state", required=True, type=Path, metavar="DIR", help="mappings: CLUSTER/NODE/nvml.map"
    )
    parser.add_argument(
        "--truth", type=Path, metavar="FILE", help="what really happened, as JSON lines, mode 0600"
    )
    parser.add_argument(
        "--clock-shift",
        type=Path,
        metavar="FILE",
        help="stamp samples by the clock that hack/clockshim shows",
    )
    parser.add_argument("--user", metavar="NAME", help="the account to run as; needs root")
    chosen = parser.parse_args(argv)
    if chosen.start != "now" and not chosen.start.isdigit():
        parser.error("--start must be a number of nanoseconds since 1970, or now")
    if chosen.seed is not None and chosen.seed < 0:
        parser.error("--seed must not be negative")
    return chosen


def _account(name: str | None) -> Account:
    if name is None:
        return Account(os.geteuid(), os.getegid())
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise SystemExit(
            _complain(f"there is no user {name}; create it or name another with --user", 2)
        ) from None
    if os.geteuid() not in (0, entry.pw_uid):
        raise SystemExit(_complain(f"only root can become {name}; leave --user out or run as root", 4))
    return Account(entry.pw_uid, entry.pw_gid)


def _become(account: Account) -> None:
    if os.geteuid() == 0 and account.uid != 0:
        with kept():
            os.setgroups([])
            os.setgid(account.gid)
            os.setuid(account.uid)


def _complain(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


def main(argv: list[str]) -> int:
    chosen = _arguments(argv)
    try:
        scenario = load(chosen.scenario, chosen.seed)
    except ScenarioError as error:
        return _complain(str(error), 2)
    account = _account(chosen.user)
    os.umask(0o022)
    start = time.time_ns() if chosen.start == "now" else int(chosen.start)
    try:
        file = open_private(chosen.truth, account.uid, account.gid) if chosen.truth else None
        simulation = Simulation(scenario, start, Truth(scenario, start, file))
        ahead = _clock_shift(chosen.clock_shift)
        mappings = [
            NodeMapping(_folder(chosen.state, node) / "nvml.map", node, start, ahead)
            for node, _ in simulation.nodes
        ]
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        _advance_to_now(simulation)
        _publish(simulation, mappings)
        for mapping in mappings:
            mapping.appear()
    except OSError as error:
        return _complain(
            f"{error.filename}: {error.strerror}", 4 if isinstance(error, PermissionError) else 1
        )
    _become(account)
    print("ready", json.dumps(_facts(scenario, start, chosen)), flush=True)
    while not stop.wait(TICK_SECONDS):
        _advance_to_now(simulation)
        _publish(simulation, mappings)
    simulation.finish(max(0, time.time_ns() - start))
    return 0


def _folder(state: Path, node: Node) -> Path:
    folder = state / node.cluster / node.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _clock_shift(file: Path | None) -> Callable[[], int]:
    if file is None:
        return lambda: 0
    opened = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    return lambda: int.from_bytes(os.pread(opened, 8, 0), "little", signed=True)


def _advance_to_now(simulation: Simulation) -> None:
    simulation.advance(max(0, time.time_ns() - simulation.start_unix_ns))


def _publish(simulation: Simulation, mappings: list[NodeMapping]) -> None:
    for mapping, (_, gpus) in zip(mappings, simulation.nodes, strict=True):
        for gpu in gpus:
            mapping.publish(gpu)


def _facts(scenario: Scenario, start: int, chosen: argparse.Namespace) -> dict[str, object]:
    return {
        "start_ns": start,
        "seed": scenario.seed,
        "window_seconds": scenario.window_seconds,
        "nodes": [
            {
                "cluster": node.cluster,
                "node": node.name,
                "mapping": str((chosen.state / node.cluster / node.name / "nvml.map").absolute()),
                "gpus": [gpu.uuid for gpu in node.gpus],
            }
            for cluster in scenario.clusters
            for node in cluster.nodes
        ],
    }
