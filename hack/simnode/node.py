"""`python -m simnode node`: plays all nodes and the API server of one cluster of a scenario."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from simnode.cluster_play import ClusterPlay, Setting
from simnode.scenario import ScenarioError, load


def main(argv: Sequence[str]) -> int:
    options = _parser().parse_args(argv)
    try:
        scenario = load(options.scenario, options.seed)
        names = [cluster.name for cluster in scenario.clusters]
        if options.cluster not in names:
            return _refuse(f"{options.scenario} has no cluster {options.cluster}; it has {', '.join(names)}")
        play = ClusterPlay(
            Setting(
                scenario=scenario,
                cluster=scenario.cluster(options.cluster),
                start_unix_ns=options.start,
                folder=options.state.resolve() / options.cluster,
                clock=time.time_ns,
                with_kubelet=options.kubelet,
                with_api=options.api,
                api_port=options.api_port,
                mappings=options.mappings.resolve() if options.mappings else None,
            )
        )
        asyncio.run(_play(play))
    except (ScenarioError, ValueError, OSError) as error:
        return _refuse(str(error))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simnode node", description=__doc__)
    parser.add_argument("--scenario", type=Path, required=True, metavar="FILE")
    parser.add_argument("--seed", type=int, metavar="N", help="default: the scenario's")
    parser.add_argument(
        "--start",
        type=int,
        required=True,
        metavar="UNIX_NS",
        help="the simulation's start; the same number for every program that plays the scenario",
    )
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="the nodes' trees go below")
    parser.add_argument(
        "--mappings",
        type=Path,
        metavar="DIR",
        help="what `simulate` has as --state, for the exporters of DCGM; default: this --state",
    )
    parser.add_argument("--cluster", required=True, metavar="NAME")
    parser.add_argument("--api-port", type=int, default=0, metavar="PORT", help="default: a free one")
    parser.add_argument("--no-kubelet", dest="kubelet", action="store_false", help="no pod-resources sockets")
    parser.add_argument("--no-api", dest="api", action="store_false", help="no API server")
    return parser


def _refuse(message: str) -> int:
    print(f"simnode node: {message}", file=sys.stderr)
    return 2


async def _play(play: ClusterPlay) -> None:
    loop = asyncio.get_running_loop()
    ended, toggled = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGUSR1, toggled.set)
    try:
        await play.start()
        print(f"ready {json.dumps(play.ready())}", flush=True)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(play.run()), tasks.create_task(_toggle(play, toggled))]
            await ended.wait()
            for task in running:
                task.cancel()
    finally:
        await play.stop()


async def _toggle(play: ClusterPlay, toggled: asyncio.Event) -> None:
    """Signals that come while one is carried out count once."""
    while True:
        await toggled.wait()
        toggled.clear()
        await play.toggle_kubelets()
