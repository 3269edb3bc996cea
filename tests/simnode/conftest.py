"""The simulated node is run from hack/ and never installed."""

import sys
from pathlib import Path

HACK = Path(__file__).resolve().parents[2] / "hack"
if str(HACK) not in sys.path:
    sys.path.insert(0, str(HACK))
