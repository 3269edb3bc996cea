"""What the house asks of every file: a size, a name, a docstring, and constant names of events."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("proto/gpucost", "agent/gpucost_agent", "aggregator/gpucost_aggregator")
MAX_LINES = 400
GENERATED_PACKAGES = ("v1", "kubelet")
FORBIDDEN_NAMES = re.compile(
    r"(utils?|helpers?|commons?|core|misc|types|managers?)(_.*)?|.*_(utils?|helpers?|manager)"
)
GENERATED = re.compile(r".*_pb2(_grpc)?\.pyi?$|(^|/)requirements/.*\.txt$")

# Where packages are downloaded from, and folders of one machine. Written so that this file does not find itself.
ADDRESSES = re.compile(
    r"(?<!no-emit)--(extra-)?index[-]url|files[.]pythonhosted|pypi[.]org/simple|[a]rtifactory"
)
MACHINE_PATHS = re.compile(r"/work[/]|/root[/]|/home/[a-z]+[/]|/tmp/pytest[-]")


def tracked() -> list[Path]:
    """Files that are committed or would be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    return [ROOT / name for name in listed if (ROOT / name).is_file()]


def sources() -> list[Path]:
    """Python files that people write."""
    return [file for file in tracked() if file.suffix == ".py" and not GENERATED.match(file.name)]


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def test_no_file_is_longer_than_one_sitting() -> None:
    lengths = {name_of(file): len(file.read_text(encoding="utf-8").splitlines()) for file in sources()}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_files_are_called_after_what_they_are_about() -> None:
    named = [file for file in sources() if FORBIDDEN_NAMES.fullmatch(file.stem)]
    assert [name_of(file) for file in named] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_what_it_is(package: str) -> None:
    inits = [
        file for file in (ROOT / package).rglob("__init__.py") if file.parent.name not in GENERATED_PACKAGES
    ]
    silent = [
        name_of(init) for init in inits if not ast.get_docstring(ast.parse(init.read_text(encoding="utf-8")))
    ]
    assert silent == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is(package: str) -> None:
    files = [
        file
        for file in sources()
        if (ROOT / package) in file.parents and file.parent.name not in GENERATED_PACKAGES
    ]
    assert files
    silent = [file for file in files if not ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))]
    assert [name_of(file) for file in silent] == []


def test_events_are_constant_names() -> None:
    wrong = []
    for file in sources():
        if any((ROOT / package) in file.parents for package in PACKAGES):
            calls = (
                node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if is_log_call(node)
            )
            wrong += [f"{name_of(file)}: {ast.unparse(call)}" for call in calls if not is_constant_name(call)]
    assert wrong == []


def is_log_call(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"debug", "info", "warning", "error", "exception", "critical"}
        and re.fullmatch(r"(self\._?)?_?(log|logger)", ast.unparse(node.func.value)) is not None
    )


def is_constant_name(call: ast.AST) -> bool:
    first = call.args[0] if isinstance(call, ast.Call) and call.args else None
    return (
        isinstance(first, ast.Constant)
        and isinstance(first.value, str)
        and re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", first.value) is not None
    )


def test_no_file_names_a_place_that_others_do_not_have() -> None:
    found = []
    for file in tracked():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if ADDRESSES.search(line) or MACHINE_PATHS.search(line):
                found.append(f"{name_of(file)}:{number}: {line.strip()[:100]}")
    assert found == []
