"""The picture in the terminal, and where its page is."""

import socket
from typing import Any

import pytest

from demo import stage
from demo.screen import picture
from demo.stage import Stage, free_port
from demo.wish import read


def reports(model_source: str | None) -> dict[str, dict[str, Any]]:
    amounts = {"cost_nanodollars": "1500000", "charged_ns": "60000000000", "used_ns": "30000000000"}
    model = {"model": "llama-3-8b", "model_source": model_source} | amounts
    empty: dict[str, Any] = {"rows": [], "remainders": {}, "total": amounts}
    return {"namespaces": empty, "models": empty | {"rows": [model]}, "idle": empty}


def test_a_model_is_shown_with_where_its_name_comes_from() -> None:
    lines = picture(reports("label gpucost.dev/model"))
    heads = next(line for line in lines if "MODEL" in line)
    assert heads.split() == ["MODEL", "named", "by", "USD", "GPU", "minutes", "used"]
    assert "  llama-3-8b  label gpucost.dev/model  0.001500         1.00   50%" in lines


def test_lines_do_not_get_longer_than_a_terminal() -> None:
    lines = picture(reports("label " + "x" * 63 + "/name-of-the-model"))
    assert "  llama-3-8b  0.001500         1.00   50%" in lines
    assert max(map(len, lines)) <= 100


def test_a_port_that_is_in_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wish = read({"CI": "1"})
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setattr(stage, "PAGE_PORT", port)
        moved = Stage(wish)
        moved.folder.rmdir()
        assert moved.notice == f"{port} is in use; this demo's page is at {moved.base}/"
        assert not moved.base.endswith(f":{port}")
    monkeypatch.setattr(stage, "PAGE_PORT", free_port())
    at_home = Stage(wish)
    at_home.folder.rmdir()
    assert at_home.notice == ""
