"""A process of another user of the machine, where the test's own may become one: what may it do to our files?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = (_ROOT / "proto", _ROOT / "agent", _ROOT / "aggregator")
_NOBODY = 65_534

_BECOME = f"""
import os
os.setgroups([])
os.setgid({_NOBODY})
os.setuid({_NOBODY})
"""


def is_root() -> bool:
    """Whether this process may become another user."""
    return os.geteuid() == 0


def as_another(imports: str, does: str, *arguments: object) -> str:
    """
    What a program prints that imports as this user and does the rest as nobody, who may read no checkout of root's.

    Without root's rights it stays this user.
    """
    done = subprocess.run(
        [sys.executable, "-c", imports + (_BECOME if is_root() else "\n") + does, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, _FOLDERS))},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout
