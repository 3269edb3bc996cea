"""What the HTTP side is made of: built once by the program, passed in, never looked up."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from gpucost.clock import Clock

from gpucost_aggregator.store import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """
    Everything that a request may touch.

    *readers* is where calls of *store* run, because they block.
    *metrics_text* and *ready* are called on the event loop and must not block;
    *ready* says whether requests should come here, and if not, why.
    """

    store: Store
    clock: Clock
    readers: Executor
    metrics_text: Callable[[], bytes]
    ready: Callable[[], tuple[bool, str]]
    version: str
