"""The agent runs on every node, so what it loads is counted."""

import subprocess
import sys

import pytest

HEAVY = (
    "numpy",
    "aiohttp",
    "duckdb",
    "pyarrow",
    "pandas",
    "jinja2",
    "kubernetes",
    "gpucost_aggregator",
)


@pytest.mark.parametrize("module", HEAVY)
def test_the_agent_comes_without(module: str) -> None:
    code = f"import sys, gpucost_agent.app; sys.exit({module!r} in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr or f"importing gpucost_agent.app brings {module} along"
