"""A page of docs/ that is generated: written, or with --check only compared with what it should be."""

import sys
from pathlib import Path


def write_or_check(file: Path, text: str, arguments: list[str]) -> int:
    """Bring *file* to *text*; the exit code. With ``--check`` nothing is written, and 1 says that it is stale."""
    if "--check" not in arguments:
        file.write_text(text, encoding="utf-8")
        return 0
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return 0
    print(f"docs/{file.name} is not what the programs say of themselves: run `make docs`", file=sys.stderr)
    return 1
