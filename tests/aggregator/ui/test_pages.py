import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from gpucost.identity import Device, Holder, HolderKind
from gpucost.units import NS_PER_HOUR, NS_PER_SECOND
from gpucost.window import from_rfc3339

from contracts.asking import Web
from contracts.ledger_rows import MINUTE_NS, START_NS, a_batch, a_slice
from contracts.memory_store import MemoryStore
from contracts.sample_fleet import fill
from gpucost_aggregator.ui.pages import FILES, THEME_SCRIPT, static_file, static_link

END = from_rfc3339("2026-11-21T08:00:00Z")
WINDOW = 10 * NS_PER_SECOND
PAGES = ("/", "/namespaces", "/models", "/idle")
VOID = {"meta", "link", "img", "br", "input", "hr"}


class WellFormed(HTMLParser):
    """Every tag is closed by its own; collects texts, headings, links, scripts and ids."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count = 0
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count += 1
        if tag not in VOID:
            self.open.append(tag)
        named = dict(attrs)
        assert not [name for name in named if name.startswith("on")]
        self.links += [named[name] or "" for name in ("href", "src") if name in named]
        self.ids += [named["id"] or ""] if "id" in named else []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"{tag} was never opened"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def read(html: str) -> WellFormed:
    page = WellFormed()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


def fleet(windows: int = 12, window_ns: int = WINDOW) -> MemoryStore:
    store = MemoryStore()
    fill(store, END - windows * window_ns, windows, window_ns)
    return store


@pytest.fixture
def web() -> Web:
    return Web(fleet(), END + 15 * NS_PER_SECOND)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    "query", ["", "?window=7d&cluster=lab-eu&theme=dark", "?namespace=nobody", "?tz=Asia/Tokyo"]
)
def test_pages_are_well_formed_and_load_nothing_from_elsewhere(web: Web, path: str, query: str) -> None:
    answer = web.get(path + query, accept="text/html")
    assert answer.status == 200
    page = read(answer.text)
    assert page.scripts == [THEME_SCRIPT]
    assert len(page.ids) == len(set(page.ids))
    assert page.text.count("·") >= 1
    assert answer.text.count("<h1>") == 1
    for link in page.links:
        assert link.startswith(("/", "#", "data:image/svg+xml,")), link
        assert not link.startswith("//")


def test_the_overview_says_what_was_spent_and_adds_up(web: Web) -> None:
    text = read(web.get("/?window=1h").text).text
    assert "$0.9167 since Sat 21 Nov 07:58 UTC. 39% of it was held but idle, 25% was held by nobody" in text
    assert "Charged to workloads $0.6779" in text
    assert "Charged to nobody $0.2388" in text
    assert "They add up: $0.677863063 + $0.238863607 = $0.916726670" in text
    assert "Spending now $27.50 an hour" in text


def test_models_are_listed_with_who_named_them(web: Web) -> None:
    text = read(web.get("/models").text).text
    assert "3 models and 3 unnamed workloads cost $0.6779" in text
    assert "label serving.kserve.io/inferenceservice (KServe)" in text
    assert "(pending)" in text
    assert "list price" in text
    assert "price of 2 Jan 2026" in text


def test_what_has_no_price_is_a_word_and_never_zero_dollars(web: Web) -> None:
    text = read(web.get("/namespaces?cluster=lab-eu").text).text
    assert re.search(r"sandbox .*? unpriced", text)
    everything = Web(fleet(), END).get("/namespaces?namespace=sandbox").text
    assert "GPU-hours" in read(everything).text
    assert "$" not in read(everything).text


def test_idle_says_what_to_stop_and_what_nobody_knows(web: Web) -> None:
    text = read(web.get("/idle").text).text
    assert "1 workload holds 1 GPU and does nothing. Left alone, it costs $5,022 a month." in text
    assert "kubectl -n notebooks scale statefulset/jupyter-ada --replicas=0" in text
    assert "the kubelet did not answer" in text
    assert "Never used" in text


def test_a_week_is_in_days_and_a_filter_leaves_nobody_out_of_sight() -> None:
    web = Web(fleet(168, NS_PER_HOUR), END + NS_PER_SECOND)
    assert "$4,620 in 7 days." in read(web.get("/?window=7d").text).text
    chat = read(web.get("/namespaces?window=7d&namespace=chat").text)
    assert "1 namespace cost $288.96 in 7 days." in chat.text
    assert "Unallocated" not in chat.text
    assert "/namespaces?window=7d" in chat.links


def test_the_state_of_a_page_is_in_its_links(web: Web) -> None:
    page = read(web.get("/models?window=1h&cluster=prod-us&tz=Asia/Tokyo").text)
    assert "/idle?window=1h&cluster=prod-us&tz=Asia/Tokyo" in page.links
    assert "/models?window=7d&cluster=prod-us&tz=Asia/Tokyo" in page.links
    assert (
        "/api/v1/reports/models?window=1h&cluster=prod-us&tz=Asia/Tokyo&format=csv&limit=10000" in page.links
    )
    for link in page.links:
        if link.startswith("/api/"):
            assert web.get(link).status == 200


def test_late_and_silent_are_said_first() -> None:
    late = Web(fleet(), END + 1_200 * NS_PER_SECOND)
    text = read(late.get("/").text).text
    assert "The last complete window ended Sat 21 Nov 08:00 UTC, 20 min ago." in text
    assert "2 silent nodes" in text
    assert "0 of 2 nodes heard" in text


def test_before_the_first_agent_pages_say_what_to_do() -> None:
    web = Web(MemoryStore(), END)
    for path in PAGES:
        page = web.get(path).text
        assert "No agent has reported yet" in page
        assert 'http-equiv="refresh"' in page
        assert "$0" not in read(page).text
    assert "gpucost-agent run" in web.get("/").text


def test_names_of_people_stay_text() -> None:
    web = Web(fleet(), END)
    nasty = web.get("/models?namespace=%3Cscript%3Ealert(1)%3C/script%3E", accept="text/html").text
    assert "<script>alert" not in nasty
    read(nasty)


def test_a_theme_in_the_address_is_set_by_the_server(web: Web) -> None:
    assert '<html lang="en" data-theme="dark">' in web.get("/idle?theme=dark").text
    assert web.get("/idle?theme=pink", accept="text/html").status == 400


def test_a_wrong_window_is_a_page_with_a_hint(web: Web) -> None:
    answer = web.get("/?window=soon", accept="text/html")
    assert answer.status == 400
    assert "take 1h, 24h, 7d" in read(answer.text).text


@pytest.mark.parametrize("name", sorted(FILES))
def test_files_are_kept_for_ever_under_the_name_of_their_content(web: Web, name: str) -> None:
    answer = web.get(static_link(name))
    assert answer.text.encode() == static_file(name)
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert web.get(f"/static/other/{name}").status == 404
    assert web.get(f"/static/other/..%2f{name}").status == 404


def test_pages_stay_small(web: Web) -> None:
    for path in PAGES:
        assert read(web.get(path).text).count <= 1_500


def test_many_rows_are_one_row_of_others_and_still_add_up() -> None:
    holders = [Holder(HolderKind.CONTAINER, f"team-{n}", f"pod-{n}", f"uid-{n}", "main") for n in range(400)]
    devices = [Device(f"GPU-{n:08}") for n in range(400)]
    store = MemoryStore()
    for window in range(2):
        rows = [
            a_slice(window, device=device, holder=holder, used_ns=0)
            for device, holder in zip(devices, holders, strict=True)
        ]
        store.commit([a_batch(window + 1, *rows, closed_through_ns=START_NS + (window + 1) * MINUTE_NS)])
    web = Web(store, START_NS + 2 * MINUTE_NS)
    for path in PAGES:
        page = read(web.get(f"{path}?window=1h").text)
        assert page.count <= 1_500
        assert "$48.00" in page.text or path == "/idle"
    assert "320 others" in read(web.get("/namespaces").text).text
    assert "400 namespaces cost $48.00" in read(web.get("/namespaces").text).text
    idle = read(web.get("/idle").text).text
    assert "400 workloads hold 400 GPUs and do nothing." in idle
    assert "30 of 400 shown" in idle


def test_a_time_keeps_its_zone_on_one_line_and_no_more() -> None:
    html = Web(fleet(), END).get("/").text
    assert "since Sat 21\N{NO-BREAK SPACE}Nov 07:58\N{NO-BREAK SPACE}UTC." in html


@pytest.mark.parametrize("path", PAGES)
def test_how_complete_it_is_is_said_in_the_page_too_where_the_rail_is_not(web: Web, path: str) -> None:
    main = web.get(path).text.split("<main", 1)[1]
    assert "Complete to 08:00 UTC · 2 of 2 nodes heard" in main


def test_use_that_nobody_knows_is_not_called_use() -> None:
    speech = Holder(HolderKind.CONTAINER, "speech", "whisper-0", "uid", "main")
    row = a_slice(holder=speech)
    unknown = replace(
        row,
        time=replace(row.time, used_ns=0, unmeasured_ns=MINUTE_NS),
        cost=replace(row.cost, used_nanodollars=0, unmeasured_nanodollars=row.cost.nanodollars),
    )
    store = MemoryStore()
    store.commit([a_batch(1, unknown, closed_through_ns=START_NS + MINUTE_NS)])
    text = read(Web(store, START_NS + MINUTE_NS).get("/?window=1h").text).text
    assert "Nobody knows whether 100% of it was used." in text
