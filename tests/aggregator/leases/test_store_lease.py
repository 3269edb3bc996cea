"""The embedded store's lease: real processes, of which one has the store open."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.lease_contract import LeaseContract
from contracts.store_candidate import StoreCandidate


class Stage:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.candidates: list[StoreCandidate] = []

    def join(self) -> StoreCandidate:
        self.candidates.append(StoreCandidate(self._folder))
        return self.candidates[-1]

    def go_on(self) -> None:
        for candidate in self.candidates:
            candidate.go_on()

    def cut(self) -> None:
        """There is nobody to be asked."""


class TestStoreLease(LeaseContract):
    @pytest.fixture
    def stage(self, tmp_path: Path) -> Iterator[Stage]:
        stage = Stage(tmp_path)
        yield stage
        for candidate in stage.candidates:
            candidate.die()
