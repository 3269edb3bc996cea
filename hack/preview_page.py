"""
Serves the pages over a made-up fleet, for whoever works on how they look.

`PYTHONPATH=proto:aggregator:tests python hack/preview_page.py demo`, then look at http://127.0.0.1:8080.
Other fleets are `week`, `late` and `empty`; a second argument is the port.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web
from gpucost.units import NS_PER_HOUR, NS_PER_SECOND
from gpucost.window import from_rfc3339

from contracts.hand_clock import HandClock
from contracts.memory_store import MemoryStore
from contracts.sample_fleet import fill
from gpucost_aggregator.api import Parts, make_app

END_NS = from_rfc3339("2026-11-21T08:00:00Z")
FLEETS = {
    "demo": (12, 10 * NS_PER_SECOND, 20),
    "week": (168, NS_PER_HOUR, 60),
    "late": (12, 10 * NS_PER_SECOND, 1_200),
    "empty": (0, NS_PER_HOUR, 0),
}
"""How many windows, how long each, and how many seconds ago the last one ended."""


def main(name: str, port: int) -> None:
    windows, window_ns, seconds_ago = FLEETS[name]
    store = MemoryStore()
    fill(store, END_NS - windows * window_ns, windows, window_ns)
    parts = Parts(
        store=store,
        clock=HandClock(END_NS + seconds_ago * NS_PER_SECOND),
        readers=ThreadPoolExecutor(2),
        metrics_text=lambda: b"",
        ready=lambda: (True, ""),
        version="preview",
    )
    web.run_app(make_app(parts), host="127.0.0.1", port=port)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "demo", int(sys.argv[2]) if len(sys.argv) > 2 else 8080)
