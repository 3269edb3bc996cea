"""Lets tests of the aggregator import what contracts share: rows, a store in memory, an agent's end of the wire."""

import sys
from pathlib import Path

_TESTS = str(Path(__file__).resolve().parents[1])
if _TESTS not in sys.path:
    sys.path.append(_TESTS)
