"""/metrics, /healthz and /readyz over a real socket."""

import socket
from collections.abc import Callable
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from gpucost.settings_source import HostPort
from gpucost.trouble import EXIT_PORT, Stop
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from contracts.books_by_hand import MINUTE, ONE, SECOND, START, close_all, hear, new_books, watch
from gpucost_agent.ledger.books import ClosedWindow
from gpucost_agent.metrics import Metrics, serve

Values = dict[tuple[str, str, str], float]
FINE = (True, "ok")


def window(minute: int = 0, pod: str = "a") -> ClosedWindow:
    begin = START + minute * MINUTE
    books = new_books(look_ns=begin)
    hear(books, begin, begin + MINUTE, {ONE: [pod]})
    watch(books, ONE, begin, begin + 45 * SECOND, 20)
    return close_all(books, begin + 2 * MINUTE)[0]


def values(text: str, parse: Callable[..., object] = parse_text) -> Values:
    return {
        (sample.name, sample.labels.get("part", ""), sample.labels.get("pod", "")): sample.value
        for family in parse(text)  # type: ignore[attr-defined]
        for sample in family.samples
    }


def get(port: int, path: str, accept: str = "text/plain") -> tuple[int, str]:
    try:
        with urlopen(Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept})) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def test_parts_add_up_to_what_a_holder_was_charged() -> None:
    metrics, closed = Metrics(), window()
    metrics.holders.add(closed.slices, closed.interval.end_ns)
    port = serve(HostPort("127.0.0.1", 0), metrics, lambda: FINE, lambda: FINE)
    found = values(get(port, "/metrics")[1])
    (row,) = closed.slices
    parts = ("used", "idle", "unmeasured")
    assert [found["gpucost_gpu_time_seconds_total", part, "a"] for part in parts] == [9.0, 36.0, 15.0]
    cost = [found["gpucost_cost_nanodollars_total", part, "a"] for part in parts]
    assert cost == [row.cost.used_nanodollars, row.cost.idle_nanodollars, row.cost.unmeasured_nanodollars]
    assert found["gpucost_gpu_time_reserved_seconds_total", "", "a"] == 60.0


@pytest.mark.parametrize(
    ("accept", "parse"),
    [("text/plain", parse_text), ("application/openmetrics-text; version=1.0.0", parse_open_metrics)],
    ids=["text", "OpenMetrics"],
)
def test_everything_that_is_exposed_parses(accept: str, parse: Callable[..., object]) -> None:
    metrics, closed = Metrics(), window()
    metrics.holders.add(closed.slices, closed.interval.end_ns)
    metrics.law_breaches.labels("gpu").inc()
    metrics.troubles.labels("nvml", "gpu_lost").inc()
    port = serve(HostPort("127.0.0.1", 0), metrics, lambda: FINE, lambda: FINE)
    found = values(get(port, "/metrics", accept)[1], parse)
    names = {name for name, _, _ in found}
    assert names >= {
        "gpucost_cost_nanodollars_total",
        "gpucost_gpu_time_seconds_total",
        "gpucost_spool_bytes",
        "gpucost_spool_lost_windows_total",
        "gpucost_law_breaches_total",
    }


def test_sums_grow_and_end_ten_minutes_after_the_last_slice() -> None:
    metrics = Metrics()
    for minute in range(3):
        closed = window(minute)
        metrics.holders.add(closed.slices, closed.interval.end_ns)
    (_, time, _) = metrics.holders.collect()
    assert sum(sample.value for sample in time.samples) == 180.0
    metrics.holders.add(window(12, "b").slices, START + 13 * MINUTE - 1)
    (_, time, _) = metrics.holders.collect()
    assert {sample.labels["pod"] for sample in time.samples} == {"a", "b"}
    metrics.holders.add(window(12, "b").slices, START + 13 * MINUTE)
    (_, time, _) = metrics.holders.collect()
    assert {sample.labels["pod"] for sample in time.samples} == {"b"}


def test_health_and_readiness_say_what_is_wrong() -> None:
    state = {"healthy": FINE, "ready": FINE}
    port = serve(HostPort("127.0.0.1", 0), Metrics(), lambda: state["healthy"], lambda: state["ready"])
    assert get(port, "/healthz") == (200, "ok\n")
    assert get(port, "/readyz") == (200, "ok\n")
    state["ready"] = (False, "not read for 60 s: GPU-1")
    assert get(port, "/readyz") == (503, "not read for 60 s: GPU-1\n")
    assert get(port, "/healthz")[0] == 200
    state["healthy"] = (False, "the driver went")
    assert get(port, "/healthz") == (503, "the driver went\n")
    assert get(port, "/elsewhere")[0] == 404


def test_a_port_in_use_is_named_with_the_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = HostPort("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(Stop, match=rf"--metrics-listen {listen}: .*take another port") as told:
            serve(listen, Metrics(), lambda: FINE, lambda: FINE)
    assert told.value.exit_code == EXIT_PORT


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_it_listens_on_ipv6_too() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    port = serve(HostPort("::1", 0), Metrics(), lambda: FINE, lambda: FINE)
    with urlopen(f"http://[::1]:{port}/healthz") as answer:
        assert answer.status == 200
