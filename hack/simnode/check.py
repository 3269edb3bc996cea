"""`python -m simnode check`: reads a scenario, says what is wrong with it, and plays nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from simnode.scenario import ScenarioError, load


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="simnode check", description=__doc__)
    parser.add_argument("--scenario", required=True, metavar="FILE")
    parser.add_argument("--seed", type=int, metavar="N", help="wins over the scenario's own")
    chosen = parser.parse_args(argv)
    try:
        load(chosen.scenario, chosen.seed)
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
