"""What the HTTP side is made of: built once by the program, passed in, never looked up."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from gpucost.clock import Clock
from gpucost.identity import NodeId

from gpucost_aggregator.access.peer_access import PeerAccess
from gpucost_aggregator.access.readers import ReaderAccess
from gpucost_aggregator.access.refusal import Refused
from gpucost_aggregator.live.board import Board
from gpucost_aggregator.peers.counts import PeerCounts
from gpucost_aggregator.peers.gathering import Peers
from gpucost_aggregator.store import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """
    Everything that a request may touch.

    *readers* is where calls of *store* run, because they block.
    *metrics_text* and *ready* are called on the event loop and must not block;
    *ready* says whether requests should come here, and if not, why.
    *access* says who reads; *on_refused* hears, on the event loop, of a request that was refused, and the peer's
    address. *duplicate_agents* are the nodes whose stream two agents take from each other now. *board* has what
    nodes look like now.
    *replica* is this process among several aggregators; *peers* are the others, None where there are none;
    *peer_access* says who is one of them, and *peer_counts* counts what they are told.
    """

    store: Store
    clock: Clock
    readers: Executor
    metrics_text: Callable[[], bytes]
    ready: Callable[[], tuple[bool, str]]
    version: str
    access: ReaderAccess = field(default_factory=ReaderAccess)
    on_refused: Callable[[Refused, str], None] = lambda _, __: None
    duplicate_agents: Callable[[], tuple[NodeId, ...]] = tuple
    board: Board = field(default_factory=Board)
    replica: str = ""
    peers: Peers | None = None
    peer_access: PeerAccess = field(default_factory=PeerAccess)
    peer_counts: PeerCounts = field(default_factory=PeerCounts)
