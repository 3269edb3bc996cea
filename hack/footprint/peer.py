"""The other program of this kind: nvitop-exporter, pinned, in a virtual environment of its own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from importlib.metadata import distributions
from pathlib import Path

NAME = "nvitop-exporter"


class NoPeer(Exception):
    """It can not be installed here."""


def python(root: Path) -> Path:
    """
    The interpreter of an environment with the peer, which is made if it is not there.

    Raises:
        NoPeer: Its packages can not be had.
    """
    lock, folder = root / "requirements" / "peers.txt", root / "build" / "peers"
    interpreter, stamp = folder / "bin" / "python", folder / ".ready"
    wanted = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return interpreter
    venv.create(folder, with_pip=True, clear=True)
    quiet = ["--quiet", "--disable-pip-version-check", "--require-hashes"]
    done = subprocess.run(
        [str(interpreter), "-m", "pip", "install", *quiet, "-r", str(lock)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise NoPeer(done.stderr.strip().rpartition("\n")[2])
    stamp.write_text(wanted)
    return interpreter


def version(interpreter: Path) -> str:
    """As installed."""
    (packages,) = (interpreter.parents[1] / "lib").glob("python*/site-packages")
    return next(found.version for found in distributions(name=NAME, path=[str(packages)]))
