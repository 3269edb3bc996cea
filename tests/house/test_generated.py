"""What is generated is as it would be generated now, and what is declared once is the same everywhere."""

import re
import subprocess
import sys
import tomllib
from importlib import import_module, metadata
from pathlib import Path

import gpucost
import pytest
from gpucost.setting import FLEET_SETTINGS, Setting

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("gpucost_agent", "gpucost_aggregator")


def declared(program: str) -> tuple[Setting[object], ...]:
    module = import_module(f"{program}.settings")
    settings: tuple[Setting[object], ...] = module.PROGRAM.settings
    return settings


def check(script: str) -> None:
    command = [sys.executable, str(ROOT / "hack" / script), "--check"]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_code_of_the_messages_is_fresh() -> None:
    check("generate_proto.py")


@pytest.mark.parametrize("page", ["settings", "metrics", "api"])
def test_the_page_is_fresh(page: str) -> None:
    check(f"{page}_table.py")


def test_each_program_lets_the_other_ones_variables_pass() -> None:
    assert {setting.name for program in PROGRAMS for setting in declared(program)} == FLEET_SETTINGS


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_setting_says_what_it_means_and_stands_once(program: str) -> None:
    settings = declared(program)
    names = [setting.name for setting in settings]
    assert len(names) == len(set(names))
    for setting in settings:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", setting.name)
        assert len(setting.help.split()) >= 4, (
            f"{program} {setting.flag}: say what it means, its unit and the reason"
        )


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_default_is_a_value_that_somebody_could_write(program: str) -> None:
    for setting in declared(program):
        if setting.default_text and not setting.required:
            assert setting.parse(setting.default_text) == setting.default, setting.flag


def test_there_is_one_version() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert document["project"]["dynamic"] == ["version"]
    assert document["tool"]["hatch"]["version"]["path"] == "proto/gpucost/__init__.py"
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[?({re.escape(gpucost.__version__)}|Unreleased)\]?", changes, re.MULTILINE)
    try:
        installed = metadata.version("gpucost")
    except metadata.PackageNotFoundError:
        return  # run from the checkout alone
    assert installed == gpucost.__version__


@pytest.mark.parametrize("extra", ["agent", "aggregator"])
def test_the_locks_hold_what_is_asked_for_and_name_no_place(extra: str) -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {
        re.split(r"[<>=]", asked)[0].lower() for asked in document["project"]["optional-dependencies"][extra]
    }
    for file in (f"{extra}.txt", "dev.txt"):
        text = (ROOT / "requirements" / file).read_text(encoding="utf-8")
        locked = set(re.findall(r"^([a-z0-9._-]+)==", text, re.MULTILINE))
        assert wanted <= locked
        assert "://" not in text
        assert "--hash=sha256:" in text
