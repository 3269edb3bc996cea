"""Pages without numbers say why: missing is not zero."""

from html.parser import HTMLParser

import pytest
from gpucost.units import NS_PER_SECOND
from gpucost.window import from_rfc3339

from contracts.asking import Web
from contracts.ledger_rows import MINUTE_NS, START_NS, a_batch, a_free_slice, a_slice
from contracts.memory_store import MemoryStore
from contracts.sample_fleet import fill

END = from_rfc3339("2026-11-21T08:00:00Z")
WINDOW = 10 * NS_PER_SECOND
PAGES = ("/", "/namespaces", "/models", "/idle")
BEFORE = "window=2026-11-20T00:00:00Z,2026-11-21T00:00:00Z"


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def text_of(html: str) -> str:
    texts = _Texts()
    texts.feed(html)
    return " ".join(" ".join(texts.words).split())


@pytest.fixture
def web() -> Web:
    store = MemoryStore()
    fill(store, END - 12 * WINDOW, 12, WINDOW)
    return Web(store, END + 15 * NS_PER_SECOND)


@pytest.mark.parametrize("path", PAGES)
def test_a_cluster_that_never_reported(web: Web, path: str) -> None:
    html = web.get(f"{path}?window=1h&cluster=nope").text
    assert "<h1>No cluster named nope has reported.</h1>" in html
    for name in ("lab-eu", "prod-us"):
        assert '<p class="links">' in html
        assert f'href="{path}?window=1h&amp;cluster={name}"' in html
    text = text_of(html)
    assert "These have:" in text
    assert "No agent has reported yet" not in text
    assert "http-equiv" not in html
    assert "$" not in text


@pytest.mark.parametrize("path", PAGES)
def test_a_namespace_that_never_held_anything(web: Web, path: str) -> None:
    html = web.get(f"{path}?cluster=lab-eu&namespace=chat").text
    assert "<h1>No namespace named chat has held a GPU.</h1>" in html
    assert f'href="{path}?cluster=lab-eu&amp;namespace=speech"' in html


def test_one_of_two_names_is_unknown(web: Web) -> None:
    text = text_of(web.get("/?window=1h&cluster=nope,lab-eu").text)
    assert "Unknown name nope: nothing of this name has ever reported." in text
    assert "$0.2287 since" in text


@pytest.mark.parametrize("path", PAGES)
def test_a_window_before_the_books(web: Web, path: str) -> None:
    html = web.get(f"{path}?{BEFORE}").text
    text = text_of(html)
    assert "<h1>Nothing was recorded in this window.</h1>" in html
    assert "The books of all clusters begin Sat 21 Nov 07:58 UTC" in text
    for lie in ("Nothing was spent", "Nobody was charged", "Nothing that is held", "bar above", "$0"):
        assert lie not in text


@pytest.mark.parametrize("path", PAGES)
def test_a_namespace_that_held_nothing_while_others_were_watched(web: Web, path: str) -> None:
    html = web.get(f"{path}?window=1m&namespace=training").text
    assert "<h1>training held no GPU in this time.</h1>" in html


@pytest.mark.parametrize("path", PAGES)
def test_a_window_that_is_not_complete(web: Web, path: str) -> None:
    html = web.get(f"{path}?window=2026-11-21T08:00:00Z,2026-11-21T09:00:00Z").text
    assert "<h1>No window of this time is complete yet.</h1>" in html


def test_a_fleet_that_nobody_held_still_has_its_bar() -> None:
    store = MemoryStore()
    store.commit([a_batch(1, a_free_slice(), closed_through_ns=START_NS + MINUTE_NS)])
    web = Web(store, START_NS + MINUTE_NS)
    for path in ("/namespaces", "/models"):
        text = text_of(web.get(f"{path}?window=1h").text)
        assert "Nobody was charged anything since" in text
        assert "Charged to nobody $0.0600" in text
        assert "Every GPU was free, unobserved, or used outside of containers." in text


def test_a_fleet_that_works_all_the_time_has_nothing_to_stop() -> None:
    store = MemoryStore()
    store.commit([a_batch(1, a_slice(), closed_through_ns=START_NS + MINUTE_NS)])
    text = text_of(Web(store, START_NS + MINUTE_NS).get("/idle?window=1h").text)
    assert "Nothing to stop" in text
    assert "No GPU was held" not in text
