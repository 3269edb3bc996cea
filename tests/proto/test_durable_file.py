"""A file that is replaced as a whole."""

from pathlib import Path

import pytest
from gpucost.durable_file import replace_file


def test_it_is_replaced_for_its_owner_alone_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("older")
    file.chmod(0o644)
    (tmp_path / "f.new").write_text("of a program that was killed")
    replace_file(file, b"newer")
    assert [each.name for each in tmp_path.iterdir()] == ["f"]
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"newer", 0o600)


def test_where_it_can_not_be_written_what_was_there_stays(tmp_path: Path) -> None:
    file = tmp_path / "f"
    replace_file(file, b"older")
    # Root may write anywhere, but nobody can open a folder as a file.
    (tmp_path / "f.new").mkdir()
    with pytest.raises(OSError, match=r"f\.new"):
        replace_file(file, b"newer")
    assert file.read_bytes() == b"older"
