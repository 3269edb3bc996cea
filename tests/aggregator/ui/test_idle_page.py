"""The sentence and the tables of the Idle page say the same, and what is known is said in its own words."""

import re
from dataclasses import replace
from html import unescape

import pytest
from gpucost.cost_slice import CostSlice, GpuTime
from gpucost.identity import HOST, REMAINDER, UNALLOCATED, Device, unobserved
from gpucost.units import NS_PER_SECOND
from gpucost.window import from_rfc3339

from contracts import sample_fleet
from contracts.asking import Web
from contracts.ledger_rows import GPU, MIG, MINUTE_NS, POD, START_NS, a_batch, a_free_slice, a_slice
from contracts.memory_store import MemoryStore
from contracts.sliced_fleet import MINER
from gpucost_aggregator.reports.reasons import REASONS, words_of

OTHER = Device("GPU-00000000-0000-0000-0000-000000000003")
REST = Device(MIG.gpu_uuid, profile=REMAINDER)
HALF = MINUTE_NS // 2


def answer_of(path: str, windows: int, *slices: CostSlice) -> Web:
    store = MemoryStore()
    end = START_NS + windows * MINUTE_NS
    store.commit([a_batch(1, *slices, closed_through_ns=end, received_at_ns=end)])
    return Web(store, end)


def text_of(windows: int, *slices: CostSlice, query: str = "window=1h") -> str:
    return words(answer_of("/idle", windows, *slices).get(f"/idle?{query}").text)


def words(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html.split("<main", 1)[1])))


def timed(row: CostSlice, reserved: int, used: int = 0, idle: int = 0, unmeasured: int = 0) -> CostSlice:
    return replace(row, time=GpuTime(reserved, used, idle, unmeasured))


def shadow(window: int, device: Device = GPU, used_ns: int = HALF) -> CostSlice:
    row = a_slice(window, device=device, holder=MINER)
    return replace(timed(row, 0, used_ns), flags=("shadow",))


def free_part(window: int, device: Device = GPU) -> CostSlice:
    return timed(a_free_slice(window, device=device), MINUTE_NS, idle=HALF)


def test_a_free_gpu_in_use_is_told_apart_and_counted_as_such() -> None:
    text = text_of(1, free_part(0), shadow(0), a_free_slice(device=OTHER))
    assert (
        "Of 2 GPUs, 0 are held, 0 of these without any use; 1 GPU is free; 1 GPU is used without being"
        in text
    )
    free = text[text.index(" Free held by nobody ") :]
    assert re.findall(r"0000-00000000000(\d) (Free now|In use)", free) == [("3", "Free now"), ("1", "In use")]
    assert "In use not given" in free


def test_what_a_shadow_uses_up_is_still_in_use_and_never_free() -> None:
    text = text_of(1, timed(a_free_slice(), MINUTE_NS), shadow(0, used_ns=MINUTE_NS))
    assert "none is free; 1 GPU is used without being given." in text
    assert text.count("In use not given") == 1
    assert "Free now" not in text


def test_what_is_free_beside_holders_is_free_in_part() -> None:
    text = text_of(
        1, timed(a_slice(), HALF, HALF), timed(a_free_slice(), HALF, idle=HALF), a_free_slice(device=OTHER)
    )
    assert "Of 2 GPUs, 1 is held, 0 of these without any use; 1 GPU is free; 1 GPU is free in part." in text
    assert (text.count("Free now"), text.count("Free in part")) == (1, 1)


def test_rests_and_what_was_free_are_not_counted() -> None:
    text = text_of(2, a_free_slice(0, device=REST), a_free_slice(1, device=REST), a_free_slice(0), a_slice(1))
    assert "1 is held, 0 of these without any use; none is free." in text
    assert "No instance" in text
    assert "Was free" in text


def test_a_free_gpu_that_can_not_be_read_is_neither_free_now_nor_was_it_so() -> None:
    text = text_of(1, timed(a_free_slice(), MINUTE_NS, idle=HALF, unmeasured=HALF))
    assert "none is free; 1 GPU is held by nobody, its use unknown." in text
    assert "Use unknown" in text
    assert "Was free" not in text


def test_what_is_free_now_stands_before_what_was_so() -> None:
    rows = [a_free_slice(window) for window in range(4)]
    text = text_of(5, *rows, a_slice(4), a_free_slice(4, device=OTHER))
    assert re.findall(r"Free now|Was free", text) == ["Free now", "Was free"]


def test_with_a_filter_of_namespaces_nothing_is_said_of_what_is_free() -> None:
    rows = [a_slice(), shadow(0, OTHER), free_part(0, OTHER)]
    text = text_of(1, *rows, query="window=1h&namespace=research,sandbox")
    assert "0 of these without any use." in text
    assert "free" not in text[: text.index("Act on these")]


@pytest.mark.parametrize("start", range(0, 14, 2))
def test_the_sentence_counts_the_rows_of_the_table(start: int) -> None:
    store = MemoryStore()
    end = from_rfc3339("2026-11-21T08:00:00Z")
    sample_fleet.fill(store, end - 14 * 10 * NS_PER_SECOND, 14, 10 * NS_PER_SECOND)
    until = f"2026-11-21T07:{57 + (40 + 10 * start) // 60}:{(40 + 10 * start) % 60 + 10:02}Z"
    text = words(Web(store, end).get(f"/idle?window=2026-11-21T07:00:00Z,{until}").text)
    counts = dict.fromkeys(("is free", "in part"), 0) | {
        name: int(number) for number, name in re.findall(r"(\d) GPU (is free|is free in part)[.;]", text)
    }
    table = text[text.index(" Free held by nobody ") :]
    assert counts["is free"] == table.count("Free now")
    assert counts.get("is free in part", 0) == table.count("Free in part") == 1


def test_time_before_the_first_look_is_called_so() -> None:
    starting = timed(a_slice(holder=unobserved("node_starting")), HALF, unmeasured=HALF)
    free = timed(a_free_slice(), HALF, idle=HALF // 2)
    text = text_of(1, starting, free, shadow(0, used_ns=HALF // 2))
    section = text[text.index("Used without being given") : text.index(" Free held")]
    assert "given to nobody unknown for some of this time: before the agent's first look" in section


@pytest.mark.parametrize(
    "reason", [*(each for each in REASONS if each != "unmeasured"), "struck_by_lightning"]
)
def test_every_reason_of_not_knowing_whose_it_was_is_told(reason: str) -> None:
    unknown = timed(a_slice(holder=unobserved(reason)), MINUTE_NS, unmeasured=HALF)
    text = text_of(1, unknown, shadow(0))
    assert f"unknown {words_of(reason)}" in text
    assert "nobody can say" not in text


def test_holders_are_named_and_what_is_unknown_beside_them_is_told() -> None:
    held = timed(a_slice(), HALF, idle=HALF // 2)
    unknown = timed(a_slice(holder=unobserved("agent_gap")), HALF, unmeasured=HALF)
    host = timed(a_slice(holder=HOST), 0, HALF // 2)
    text = text_of(1, held, unknown, host)
    assert (
        f"given to {POD.namespace}/{POD.pod} unknown for some of this time: {words_of('agent_gap')}" in text
    )


def test_the_report_says_so_too() -> None:
    web = answer_of("", 1, free_part(0), shadow(0), a_free_slice(device=OTHER))
    rows = {row["gpu_uuid"]: row for row in web.get("/api/v1/reports/idle?window=1h").json["rows"]}
    said = {
        uuid: (row["idle_now"], row["never_used"], row["shadow_now"], row["idle_since"] is None)
        for uuid, row in rows.items()
        if row["holder_kind"] == UNALLOCATED.kind.value
    }
    assert said == {GPU.gpu_uuid: (False, False, True, True), OTHER.gpu_uuid: (True, True, False, False)}
    csv = web.get("/api/v1/reports/idle?window=1h&format=csv").text
    assert ",idle_now,shadow_now,never_used," in csv
