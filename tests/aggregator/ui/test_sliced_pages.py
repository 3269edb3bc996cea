"""MIG devices, shared and taken GPUs on the pages: in words that people understand, and no part is called a GPU."""

import re
from html import unescape

import pytest
from gpucost.units import NS_PER_SECOND
from gpucost.window import from_rfc3339

from contracts import sample_fleet
from contracts.asking import Web
from contracts.memory_store import MemoryStore
from contracts.sliced_fleet import REASONS, fill
from gpucost_aggregator.reports.reasons import words_of

END = from_rfc3339("2026-11-21T08:00:00Z")
WINDOW = 10 * NS_PER_SECOND


def text_of(path: str, windows: int = 12) -> str:
    store = MemoryStore()
    fill(store, END - windows * WINDOW, windows, WINDOW)
    html = Web(store, END + 15 * NS_PER_SECOND).get(path).text
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html.split("<main", 1)[1])))


def test_an_idle_mig_device_is_no_idle_gpu() -> None:
    text = text_of("/idle?window=1h")
    assert "1 workload holds 1 MIG device and does nothing. Left alone, it costs $717.49 a month." in text
    assert "notebooks · 1 × MIG 2g.20gb of H100 80 GB HBM3" in text
    assert "Of 5 GPUs, 5 are held, 0 of these without any use; 1 MIG device is free." in text
    overview = text_of("/?window=1h")
    assert "5 GPUs on 1 node." in overview
    assert "Held and idle now $717.49 a month 1 workload without any use" in overview


def test_rests_are_free_by_name_and_nothing_to_act_on() -> None:
    act, free = re.split(r" Free held by nobody ", text_of("/idle?window=1h"))
    assert "rest of" not in act
    assert re.search(r"rest of MIG 2g\.20gb · GPU-a00000 us-mig-0 · instance 2 · .*? No instance", free)
    assert re.search(r"rest of GPU-a00000 us-mig-0 · .*? No instance", free)
    assert re.search(r"MIG 1g\.10gb · GPU-a00000 us-mig-0 · instance 3/0 · .*? Free now", free)


def test_every_reason_has_words() -> None:
    text = text_of("/idle?window=1h")
    for reason in (*REASONS, "unmeasured"):
        assert words_of(reason) in text
        assert reason not in text
    assert "whisper-0 speech · MIG 7g.80gb · GPU-a00004" in text


def test_what_was_used_without_being_given_is_told_with_whose_it_was() -> None:
    text = text_of("/idle?window=1h")
    section = text[text.index("Used without being given") : text.index(" Free held")]
    assert (
        "sandbox · Deployment miner 0.0033 $0.02 GPU-a00001 us-mig-0 · H100 80 GB HBM3 within 2 min"
        " from Sat 21 Nov 07:58 UTC given to search/embedder-5d9c7f-kk2pl and training/finetune-42-z8m7c"
    ) in section
    assert section.count("given to nobody") == 2
    assert "Host processes outside of Kubernetes" in section
    assert "no proof of intent" in section


def test_where_nobody_did_so_there_is_no_such_section() -> None:
    assert "Used without being given" not in text_of("/idle?window=1h&namespace=chat")
    assert "Used without being given" in text_of("/idle?window=1h&namespace=sandbox")


def test_a_gpu_that_is_used_though_nobody_holds_it_is_not_called_free() -> None:
    text = text_of("/idle?window=1m", windows=14)
    assert "; 1 MIG device is free." in text
    assert "used without being given." not in text
    early = text_of("/idle?window=2026-11-21T07:57:40Z,2026-11-21T07:58:00Z", windows=14)
    assert (
        "Of 5 GPUs, 3 are held, 0 of these without any use; 1 MIG device is free;"
        " 1 GPU is used without being given." in early
    )


@pytest.mark.parametrize("path", ["/", "/namespaces", "/models", "/idle"])
def test_pages_stay_whole_beside_another_fleet(path: str) -> None:
    store = MemoryStore()
    fill(store, END - 12 * WINDOW, 12, WINDOW)
    sample_fleet.fill(store, END - 12 * WINDOW, 12, WINDOW)
    answer = Web(store, END + 15 * NS_PER_SECOND).get(f"{path}?window=1h")
    assert answer.status == 200
    assert answer.text.count("<") < 4_000
