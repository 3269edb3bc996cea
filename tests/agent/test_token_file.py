"""The agent's token: read anew for each stream, told to nobody else."""

from pathlib import Path

import pytest
from gpucost.trouble import Retry

from gpucost_agent.token_file import token_metadata


def test_what_the_file_holds_now_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    assert token_metadata(file) == (("authorization", "Bearer first"),)
    file.write_text("  second  ")
    assert token_metadata(file) == (("authorization", "Bearer second"),)
    assert token_metadata(None) == ()


@pytest.mark.parametrize("text", ["", " \n", "two words", "a\nb", "schlüssel", "x" * 17_000, "a\x00b"])
def test_what_is_no_token_is_tried_again_later_and_not_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(Retry, match="--token-file") as trouble:
        token_metadata(file)
    for word in text.split():
        assert f" {word} " not in f" {trouble.value} " or len(word) == 1


def test_a_file_that_is_not_there_is_tried_again_later(tmp_path: Path) -> None:
    with pytest.raises(Retry, match="can not be read: No such file"):
        token_metadata(tmp_path / "absent")
