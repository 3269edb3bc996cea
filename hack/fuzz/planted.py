"""Planted bugs: patches that break one parser a little, and a copy of the tree to apply them to."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz.target import Target

FOLDER = Path(__file__).with_name("planted")
_COPIED = ("proto", "agent", "aggregator", "hack/fuzz", "hack/proofs", "hack/simnode", "hack/scenarios")
_TOUCHED = re.compile(r"^\+\+\+ (?:b/)?(?P<file>[^\t\n]+)", re.MULTILINE)


class Useless(Exception):
    """A patch that plants nothing: it does not apply, or changes no file; the text says what to do."""


@dataclass(frozen=True)
class Planted:
    """A patch, and the files of the repository that it changes."""

    file: Path
    touches: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.file.stem

    def targets(self, known: Sequence[Target]) -> list[Target]:
        """Who should find it: those that cover what it changes; all where nobody says that they do."""
        near = [
            target
            for target in known
            if any(
                file == place or file.startswith(f"{place}/")
                for file in self.touches
                for place in target.covers
            )
        ]
        return near or list(known)


def planted_in(files: Iterable[Path]) -> list[Planted]:
    """The bugs in patch *files*, and in those of folders, by name."""
    found = []
    for place in files:
        for file in sorted(place.glob("*.patch")) if place.is_dir() else [place]:
            found += [Planted(file.resolve(), tuple(_TOUCHED.findall(file.read_text("utf-8"))))]
    return found


def copy_of(root: Path, folder: Path) -> Path:
    """What fuzzing needs of the tree at *root*, in *folder*; what was compiled goes along, by its source's time."""
    for part in _COPIED:
        shutil.copytree(
            root / part, folder / part, dirs_exist_ok=True, ignore=shutil.ignore_patterns("build")
        )
    return folder


def plant(bug: Planted, folder: Path) -> None:
    """
    Apply *bug* to the copy in *folder*.

    Raises:
        Useless: It does not apply there, or the tree is the same afterwards.
    """
    before = [_content(folder / file) for file in bug.touches]
    applied = subprocess.run(
        ["git", "apply", "-C1", "--whitespace=nowarn", str(bug.file)],
        cwd=folder,
        env=os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)},
        check=False,
        capture_output=True,
        text=True,
    )
    if applied.returncode:
        raise Useless(f"{bug.name} does not apply: make it anew ({applied.stderr.strip().splitlines()[:1]})")
    if before == [_content(folder / file) for file in bug.touches]:
        raise Useless(f"{bug.name} changes nothing: plant a bug, or delete it")


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None
