"""Pricing slices anew by another price book, window by window, beside the streams."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

from aiohttp import web
from gpucost.clock import Clock
from gpucost.cost_slice import CostSlice
from gpucost.price_book import PriceBook
from gpucost.prices import Prices, load_catalogue
from gpucost.trouble import Reject
from structlog.typing import FilteringBoundLogger

from gpucost_aggregator.admin.application import answer, body_of
from gpucost_aggregator.closing.repricing import Known, Repriced, check_book, reprice
from gpucost_aggregator.store import Store
from gpucost_aggregator.store.closed_rows import Adjustment
from gpucost_aggregator.store.rows import Scope

_PAGE = 10_000

T = TypeVar("T")


class Alone(Protocol):
    """Runs calls in the one thread that writes."""

    async def __call__(self, call: Callable[[], T], /) -> T:
        """What *call* returns, or what it raises."""
        ...


@dataclass(frozen=True, slots=True)
class RepricingParts:
    """What it is made of; *readers* is where the store is asked, because it blocks."""

    store: Store
    readers: Executor
    alone: Alone
    clock: Clock
    log: FilteringBoundLogger


def reprice_routes(parts: RepricingParts) -> list[web.RouteDef]:
    """`POST /reprice {"price_book", "file", "from_ns", "to_ns", "clusters", "dry_run"}`."""

    async def run(request: web.Request) -> web.Response:
        asked = _asked(await body_of(request))
        told = await _reprice(parts, asked)
        parts.log.info(
            "slices_repriced", price_book=asked.book.version, dry_run=asked.dry_run, **asdict(told)
        )
        return answer({"version": asked.book.version, "dry_run": asked.dry_run} | asdict(told))

    return [web.post("/reprice", run)]


@dataclass(frozen=True, slots=True)
class _Asked:
    book: PriceBook
    from_ns: int
    to_ns: int
    clusters: tuple[str, ...]
    dry_run: bool


def _asked(body: dict[str, Any]) -> _Asked:
    text, file = body.get("price_book"), body.get("file", "price book")
    begin, end, clusters = body.get("from_ns"), body.get("to_ns"), body.get("clusters", [])
    good = isinstance(text, str) and isinstance(file, str) and isinstance(clusters, list)
    if not (good and isinstance(begin, int) and isinstance(end, int)):
        raise Reject("pricing anew needs price_book, from_ns and to_ns")
    if begin >= end:
        raise Reject("--from has to be earlier than --to")
    book = PriceBook.parse(str(text), str(file))
    return _Asked(book, begin, end, tuple(map(str, clusters)), body.get("dry_run") is True)


async def _reprice(parts: RepricingParts, asked: _Asked) -> Repriced:
    store, together = parts.store, Repriced()

    def read(call: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(parts.readers, call)

    known = await read(lambda: Known(store.gpus(), store.nodes()))
    check_book(asked.book, known)
    prices = Prices(asked.book, load_catalogue())
    progress = await read(store.progress)
    first_ns = await read(lambda: store.first_window_ns(asked.clusters))
    window_ns = max((node.window_ns for node in progress), default=None)
    if window_ns is None or first_ns is None:
        return together
    start_ns = max(asked.from_ns, first_ns)
    start_ns -= start_ns % window_ns
    last_ns = min(asked.to_ns, max(node.closed_through_ns for node in progress))
    while start_ns < last_ns:
        scope = Scope(max(start_ns, asked.from_ns), min(start_ns + window_ns, asked.to_ns), asked.clusters)
        at_ns = parts.clock.now().wall_ns

        def one(scope: Scope = scope, at_ns: int = at_ns) -> tuple[list[Adjustment], Repriced]:
            return reprice(_rows(store, scope), window_ns, known, prices.quote, at_ns)

        found, told = await read(one)
        if found and not asked.dry_run:
            await parts.alone(lambda found=found: store.adjust(found))  # type: ignore[misc]  # bound now
        for name, amount in asdict(told).items():
            setattr(together, name, getattr(together, name) + amount)
        start_ns += window_ns
    return together


def _rows(store: Store, scope: Scope) -> list[CostSlice]:
    """All slices of *scope* and what adjusts them."""
    rows: list[CostSlice] = []
    cursor: str | None = None
    while True:
        page = store.slices(scope, cursor, _PAGE)
        rows += page.slices
        if (cursor := page.next_cursor) is None:
            break
    while True:
        adjusted = store.adjustments(scope, cursor, _PAGE)
        rows += (each.difference for each in adjusted.adjustments)
        if (cursor := adjusted.next_cursor) is None:
            return rows
