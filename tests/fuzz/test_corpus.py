"""What fuzzing once found stays mended; the planted bugs still fit the tree."""

from pathlib import Path

import pytest

from fuzz.every_target import TARGETS
from fuzz.planted import FOLDER, copy_of, plant, planted_in

CORPUS = Path(__file__).with_name("corpus")
BY_NAME = {target.name: target for target in TARGETS}
KNOWN = sorted(file for file in CORPUS.glob("*/*") if file.is_file())


@pytest.mark.parametrize("file", KNOWN, ids=lambda file: f"{file.parent.name}-{file.name}")
def test_what_was_found_once_is_not_found_again(file: Path) -> None:
    BY_NAME[file.parent.name].check(file.read_bytes())


def test_names_tell_targets_apart() -> None:
    assert len(BY_NAME) == len(TARGETS)
    assert {folder.name for folder in CORPUS.iterdir()} <= set(BY_NAME)


def test_what_targets_cover_is_there(repository: Path) -> None:
    assert [place for target in TARGETS for place in target.covers if not (repository / place).exists()] == []


def test_every_planted_bug_applies_and_has_a_target_that_covers_it(repository: Path, tmp_path: Path) -> None:
    copy = copy_of(repository, tmp_path / "tree")
    bugs = planted_in([FOLDER])
    assert len(bugs) > 20
    for bug in bugs:
        before = {file: (copy / file).read_bytes() for file in bug.touches}
        plant(bug, copy)
        for file, content in before.items():
            (copy / file).write_bytes(content)
    covered = {place for target in TARGETS for place in target.covers}
    assert [file for bug in bugs for file in bug.touches if file not in covered] == []


def test_every_target_has_a_bug_to_find() -> None:
    first = {bug.targets(TARGETS)[0].name for bug in planted_in([FOLDER])}
    shared = {target.name for bug in planted_in([FOLDER]) for target in bug.targets(TARGETS)}
    assert set(BY_NAME) - first - shared == set()
