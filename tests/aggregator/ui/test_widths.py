"""What fits at which width, in a real browser."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from gpucost.units import NS_PER_SECOND
from gpucost.window import from_rfc3339

from contracts import sample_fleet, sliced_fleet
from contracts.asking import Web
from contracts.memory_store import MemoryStore
from gpucost_aggregator.ui.pages import static_file, static_link

END = from_rfc3339("2026-11-21T08:00:00Z")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def drawn(html: str, width: int, folder: Path) -> str:
    """The document as it stands after its own script looked at what fits."""
    alone = html.replace(
        f'<link rel="stylesheet" href="{static_link("app.css")}">',
        f"<style>{static_file('app.css').decode()}</style>",
    ).replace(f'<script src="{static_link("app.js")}" defer></script>', "")
    page = folder / "page.html"
    page.write_text(alone.replace("</body>", f"<script>{static_file('app.js').decode()}</script></body>"))
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    )
    assert BROWSER
    return subprocess.run(
        [
            *(BROWSER, *flags.split(), f"--user-data-dir={folder / 'profile'}"),
            *(f"--window-size={width},900", "--virtual-time-budget=2000", "--dump-dom", page.as_uri()),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout


@pytest.mark.browser
@pytest.mark.parametrize("width", [900, 1100, 1101, 1280, 1366, 1440, 1441])
def test_no_table_of_idle_gpus_is_cut_off(width: int, tmp_path: Path) -> None:
    store = MemoryStore()
    for fleet in (sample_fleet, sliced_fleet):
        fleet.fill(store, END - 120 * NS_PER_SECOND, 12, 10 * NS_PER_SECOND)
    html = Web(store, END + 15 * NS_PER_SECOND).get("/idle").text
    found = drawn(html, width, tmp_path)
    assert "What you can do" in found
    assert "Used without being given" in found
    assert re.findall(r'aria-label="([^"]*), scrolls sideways"', found) == []


@pytest.mark.browser
@pytest.mark.parametrize("width", [1101, 1280, 1441])
def test_free_gpus_in_use_are_not_cut_off(width: int, tmp_path: Path) -> None:
    store = MemoryStore()
    for fleet in (sample_fleet, sliced_fleet):
        fleet.fill(store, END - 120 * NS_PER_SECOND, 12, 10 * NS_PER_SECOND)
    early = "window=2026-11-21T07:58:00Z,2026-11-21T07:58:20Z"
    found = drawn(Web(store, END + 15 * NS_PER_SECOND).get(f"/idle?{early}").text, width, tmp_path)
    assert "not given" in found
    assert re.findall(r'aria-label="([^"]*), scrolls sideways"', found) == []
