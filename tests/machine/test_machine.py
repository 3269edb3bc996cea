"""
Random lives of nodes: whatever happens in whatever order, the laws hold in every window, and nobody else pays.

EXAMPLES lives of SECONDS seconds, from SEED on; without them a few short ones. A life that fails is printed as a
whole, and SEED=its number EXAMPLES=1 plays it again.
"""

import os

import pytest

from contracts.machine_plan import NODES, draw
from contracts.machine_run import Life

EXAMPLES = int(os.environ.get("EXAMPLES") or 2)
SECONDS = float(os.environ.get("SECONDS") or 20)
SEED = int(os.environ.get("SEED") or 1)


@pytest.mark.parametrize("seed", range(SEED, SEED + EXAMPLES))
def test_the_laws_hold_in_every_life(seed: int) -> None:
    life = Life(draw(seed, SECONDS)).live()
    assert life.breaches == [], f"{life.plan}"
    assert life.windows > NODES * SECONDS / life.plan.window_s
    assert life.slices > life.windows
