"""What all tests share: golden files, which are text with one fact a line, and read as a diff when they change."""

import atexit
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write golden files instead of comparing them"
    )


@atexit.register
def _quiet_end() -> None:
    # When the interpreter ends, duckdb's binding reports its own module as leaked, on the raw descriptor and
    # after pytest's summary; nothing of ours is said that late.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)`: *text* is what golden/NAME beside the test says."""
    folder = request.path.parent / "golden"
    update = request.config.getoption("--update-golden")

    def compare(name: str, text: str) -> None:
        file = folder / name
        if update:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
        assert file.exists(), f"{file} is missing: run `make golden`"
        assert text == file.read_text(encoding="utf-8")

    return compare


@pytest.fixture
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parent.parent
