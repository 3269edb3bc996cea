import re

import pytest

from gpucost_aggregator.reports.five_parts import Five, Shares
from gpucost_aggregator.ui.figures import ledger_bar, mini_bar, scale_of
from gpucost_aggregator.ui.pages import static_file

USD = 1_000_000_000


def test_a_bar_adds_up_as_it_is_shown() -> None:
    five = Five(333_333_333, 0, 333_333_333, 333_333_334, 0)
    bar = ledger_bar(five, scale_of(Shares(five, Five())))
    assert [part.amount for part in bar.parts] == ["$0.33", "$0.00", "$0.33", "$0.34", "$0.00"]
    assert (bar.charged, bar.nobodys) == ("$0.66", "$0.34")
    assert [part.flex for part in bar.parts if part.flex != "0.00"] == ["333.33", "333.33", "333.33"]


def test_without_any_price_everything_is_in_gpu_hours() -> None:
    time = Five(3_600 * USD, 0, 3_600 * USD)
    scale = scale_of(Shares(Five(), time))
    bar = ledger_bar(scale.main(Shares(Five(), time)), scale)
    assert (scale.unit, bar.charged) == ("GPU-hours", "2.000")


def test_a_short_bar_can_still_be_seen() -> None:
    assert mini_bar(Five(used=1), 1_000_000).width == "0.5%"
    assert mini_bar(Five(), 10).width == "0"
    assert mini_bar(Five(used=1, idle=3), 4).spoken == "Used 25%, Allocated idle 75%"


def tokens(theme: str) -> dict[str, str]:
    css = static_file("app.css").decode()
    light = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", css[: css.index('[data-theme="dark"]')]))
    dark = css[css.index('[data-theme="dark"] {') :]
    dark = dark[: dark.index("}")]
    return light if theme == "light" else light | dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", dark))


def luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_and_parts_can_be_told_from_their_ground(theme: str) -> None:
    colours = tokens(theme)
    for ground in ("bg", "surface", "sunken"):
        for ink in ("ink", "ink-2", "ink-3", "link"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for mark in ("used", "idle", "unknown-mark", "free-mark", "unobs-mark", "control"):
        assert contrast(colours[mark], colours["surface"]) >= 3.0, mark
    for word in ("ok", "warn", "bad"):
        assert contrast(colours[word], colours[f"{word}-bg"]) >= 4.5, word


def test_both_ways_to_the_dark_theme_have_the_same_colours() -> None:
    css = static_file("app.css").decode()
    blocks = re.findall(
        r'(?:\[data-theme="dark"\]|:root:not\(\[data-theme="light"\]\)) \{\n(.*?)\n *\}', css, re.DOTALL
    )
    chosen, asked = (re.findall(r"--[a-z0-9-]+: [^;]+;", block) for block in blocks[:2])
    assert len(chosen) > 30
    assert chosen == asked
