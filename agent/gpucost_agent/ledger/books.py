"""
A node's books: readings in, closed windows out.

Windows are closed in order and without holes, each once, some seconds late so that end times arrive.
Holds no clock: whoever calls says what time it is. Not for several threads at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gpucost.clock import Instant
from gpucost.cost_slice import CostSlice, Price
from gpucost.identity import NodeId
from gpucost.window import Interval, window_of

from gpucost_agent.ledger.checkpoint import Checkpoint
from gpucost_agent.ledger.clock_steps import ClockSteps
from gpucost_agent.ledger.closing import close
from gpucost_agent.ledger.directory import Directory
from gpucost_agent.ledger.gpu_book import GpuBook
from gpucost_agent.ledger.holdings import ContainerName, Holdings
from gpucost_agent.ledger.occupancy import Occupants
from gpucost_agent.ledger.stretching import NodeView
from gpucost_agent.ledger.usage import Process
from gpucost_agent.readings import (
    ActivitySource,
    Boot,
    ClusterReading,
    ContainerNamed,
    DcgmReading,
    Entry,
    Gpu,
    GpuLook,
    GpuReading,
    GpusSeen,
    HoldingReading,
    Partition,
    PodNamed,
)

Quote = Callable[[str, int], Price]
"""Price of a GPU, by UUID, that is valid at an instant (wall nanoseconds)."""

_NODE_STARTING_NS = 3_600 * 1_000_000_000
"""A boot longer ago than this is no start of the node any more: the GPU's life begins at the first look."""

_LONGEST_GAP_NS = 7 * 24 * 3_600 * 1_000_000_000
"""Of a gap longer than the spool's bound only the end is closed here; the aggregator closes the rest."""


_LONGEST_STEP_NS = 2 * 24 * 3_600 * 1_000_000_000
"""A clock that is set forward further leaves no windows behind, of which a year would make half a million."""

KEPT_NS = 15 * 1_000_000_000
"""So long readings are kept that a closed window has taken in, for those that lie across its border."""


@dataclass(frozen=True, slots=True)
class Method:
    """
    How the books are kept; one for a whole fleet. All in nanoseconds.

    *fractions*: what schedulers of fractions write into annotations counts.
    """

    window_ns: int
    kubelet_grace_ns: int
    lateness_ns: int
    fractions: bool = True


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """
    The slices of one window, and the checkpoint after it.

    *lives* is the window cut by each GPU's life, by UUID; a GPU that did not live in it is not there.
    *lengths_ns* is how long that was, which differs after a step of the clock.
    """

    interval: Interval
    slices: tuple[CostSlice, ...]
    lives: Mapping[str, Interval]
    lengths_ns: Mapping[str, int]
    checkpoint: Checkpoint


@dataclass(slots=True)
class Books:
    """
    Everything that is not closed yet on one node.

    *first_look_ns* is when this agent began to look; *before* is what the one before it left.
    """

    node: NodeId
    method: Method
    quote: Quote
    first_look_ns: int
    boot: Boot
    before: Checkpoint | None = None
    directory: Directory = field(default_factory=Directory)
    holdings: Holdings = field(init=False)
    closed_through_ns: int = field(init=False)
    _clock: ClockSteps = field(init=False)
    _books: dict[str, GpuBook] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        ended_ns = self.before.closed_through_ns if self.before is not None else 0
        if self.before is not None and not _is_same_boot(self.boot, self.before):
            self.before = None
        replicas = self.before.replicas if self.before is not None else None
        self.holdings = Holdings(self.first_look_ns, self.method.kubelet_grace_ns, replicas)
        self._clock = ClockSteps(self.first_look_ns)
        start = self._begin_of_life()
        if self.before is not None:
            start = max(self.before.closed_through_ns, self.first_look_ns - _LONGEST_GAP_NS)
            self.closed_through_ns = start
            if self.before.monotonic_ns is not None and start == self.before.closed_through_ns:
                self._clock = ClockSteps(start, Instant(start, self.before.monotonic_ns))
        else:
            # Two boots may share a window, and two agents of which the later has lost the spool: each has a part of
            # its own, as keys count once.
            shared = window_of(start, self.method.window_ns).start_ns < ended_ns <= self.first_look_ns
            self.closed_through_ns = ended_ns if shared else start

    def take(self, entry: Entry) -> None:
        """Take in what was seen or heard."""
        match entry:
            case GpuLook(reading, identities):
                self.read_gpu(reading, identities)
            case Instant():
                self.tick(entry)
            case HoldingReading():
                self.read_holders(entry)
            case DcgmReading():
                self.read_dcgm(entry)
            case ClusterReading():
                self.directory.learn(entry)
            case GpusSeen(gpus, at_ns):
                self.see_gpus(gpus, at_ns)
            case PodNamed():
                self.directory.learn_pod(entry.namespace, entry.pod, entry.uid, entry.at_ns)
            case ContainerNamed():
                name = ContainerName(entry.namespace, entry.pod, entry.container)
                self.directory.learn_container(entry.container_id, name, entry.pod_uid)

    def see_gpus(self, gpus: tuple[Gpu, ...], at_ns: int) -> None:
        """Take in the driver's GPUs; one that is new begins its life now, or with the node."""
        with_the_node = not self._books and self.before is None
        # Others may look through the books meanwhile: what they look through is never changed.
        books = dict(self._books)
        for gpu in gpus:
            if gpu.uuid in books:
                books[gpu.uuid].gpu = gpu
                continue
            if self.before is not None and gpu.uuid in self.before.lives:
                life_ns, look_ns = self.before.lives[gpu.uuid], self.first_look_ns
            elif with_the_node:
                life_ns, look_ns = self._begin_of_life(), self.first_look_ns
            else:
                life_ns = look_ns = max(at_ns, self.closed_through_ns)
            known = self.before.partitions.get(gpu.uuid) if self.before is not None else None
            books[gpu.uuid] = GpuBook(gpu, life_ns, look_ns, known)
        if self.before is not None:
            self._miss(books, self.before)
        self._books = books

    def read_gpu(self, reading: GpuReading, identities: Mapping[int, Process]) -> None:
        """Take in a look at one GPU, and who the processes were that it names."""
        book = self._books.get(reading.gpu_uuid)
        if book is not None:
            book.add(reading, identities)

    def read_dcgm(self, reading: DcgmReading) -> None:
        """Take in what the node's dcgm-exporter says."""
        for uuid, spans in reading.spans.items():
            if (book := self._books.get(uuid)) is not None:
                book.add_spans(ActivitySource.DCGM, spans)

    def read_holders(self, reading: HoldingReading) -> None:
        """Take in the kubelet's answer."""
        self.holdings.heard(reading)

    def tick(self, now: Instant) -> None:
        """What the clocks say; told often, so that a step of the wall clock neither makes nor loses time."""
        self._clock.tick(now)

    def close_next(self, now_ns: int) -> ClosedWindow | None:
        """The next window, if it is over for long enough; call again until there is none."""
        window = window_of(self.closed_through_ns, self.method.window_ns)
        really_ns = self._clock.next_real_ns(self.closed_through_ns)
        if really_ns - window.end_ns > _LONGEST_STEP_NS:
            window = window_of(really_ns, self.method.window_ns)
            self.closed_through_ns = window.start_ns
            self._clock.forget_before(window.start_ns)
        # After a gap its windows wait until the first answer of the kubelet had time to come.
        if now_ns < max(window.end_ns, self.first_look_ns) + self.method.lateness_ns:
            return None
        return self._close(Interval(self.closed_through_ns, window.end_ns))

    def close_short(self, now_ns: int) -> list[ClosedWindow]:
        """Everything up to *now_ns*: the agent ends, and the next one begins at this instant."""
        closed = []
        while self.closed_through_ns < now_ns:
            window = window_of(self.closed_through_ns, self.method.window_ns)
            closed.append(self._close(Interval(self.closed_through_ns, min(window.end_ns, now_ns))))
        return closed

    def glimpse(self, interval: Interval) -> tuple[CostSlice, ...]:
        """What the slices of *interval* would be by what is known now; nothing is closed, and more may come."""
        return self._settled(interval)[0]

    def gpus(self, by_ns: int | None = None) -> tuple[Gpu, ...]:
        """Every GPU that was seen since this agent began, by an instant if one is given."""
        by_ns = None if by_ns is None else max(by_ns, self.first_look_ns)
        return tuple(
            book.gpu for book in self._books.values() if by_ns is None or book.life_start_ns <= by_ns
        )

    def partitions(self) -> dict[str, Partition]:
        """How each GPU was cut when it was last seen, by UUID."""
        return {uuid: book.partition for uuid, book in self._books.items()}

    def unmapped_ids(self, at_ns: int) -> tuple[str, ...]:
        """The ids in the kubelet's latest answer of which nobody can say which GPU they mean."""
        return self._occupants().unmapped_ids(at_ns)

    def checkpoint(self) -> Checkpoint:
        """What the next agent needs to know, as of the last closed window."""
        lives = {uuid: book.life_start_ns for uuid, book in self._books.items()}
        models = {uuid: book.gpu.model for uuid, book in self._books.items()}
        at_ns = self.closed_through_ns
        if self.before is not None and at_ns <= self.first_look_ns:
            # The gap before this agent is not closed yet, so it is still the one before it that knows.
            before = self.before
            return Checkpoint(
                self.boot.boot_id,
                at_ns,
                lives,
                before.held,
                before.replicas,
                models,
                before.partitions,
                before.shares,
                self._clock.monotonic_at(at_ns),
            )
        # What was heard later is of time that the next agent will not have watched.
        last = self._occupants().at(at_ns)
        held = {
            device: {holder: part.replicas for holder, part in holders.items()}
            for device, holders in (last.by_device or {}).items()
        }
        shares = {
            device: {holder: part.share for holder, part in holders.items() if part.share}
            for device, holders in (last.by_device or {}).items()
        }
        partitions = {uuid: book.partition for uuid, book in self._books.items() if book.partition.mig}
        return Checkpoint(
            self.boot.boot_id,
            at_ns,
            lives,
            held,
            last.replicas,
            models,
            partitions,
            shares,
            self._clock.monotonic_at(at_ns),
        )

    def _occupants(self) -> Occupants:
        return Occupants(
            self.holdings, self.directory, self.gpus(), self.method.fractions, self.directory.label_replicas
        )

    def _begin_of_life(self) -> int:
        if self.first_look_ns - self.boot.booted_at_ns < _NODE_STARTING_NS:
            return min(self.boot.booted_at_ns, self.first_look_ns)
        return self.first_look_ns

    def _miss(self, books: dict[str, GpuBook], before: Checkpoint) -> None:
        """A GPU that was there before this agent and is not now fell off the bus: its life goes on."""
        for uuid, life_ns in before.lives.items():
            if uuid not in books:
                gpu = Gpu(uuid, -1, None, before.models.get(uuid, ""), None)
                books[uuid] = GpuBook(gpu, life_ns, self.first_look_ns, before.partitions.get(uuid))
                books[uuid].lose(self.first_look_ns)

    def _close(self, interval: Interval) -> ClosedWindow:
        settled = self._settled(interval)
        self.closed_through_ns = interval.end_ns
        for book in self._books.values():
            book.forget_before(interval.end_ns - KEPT_NS)
        self.holdings.forget_before(interval.end_ns - KEPT_NS)
        self._clock.forget_before(interval.end_ns)
        slices, lives, lengths = settled
        return ClosedWindow(interval, slices, lives, lengths, self.checkpoint())

    def _settled(
        self, interval: Interval
    ) -> tuple[tuple[CostSlice, ...], dict[str, Interval], dict[str, int]]:
        """The slices of *interval*, and by GPU when it lived in it, and for how long that was."""
        occupants = self._occupants()
        wide = Interval(interval.start_ns - KEPT_NS, interval.end_ns + self.method.lateness_ns)
        looked_at = wide.cut(Interval(self.first_look_ns, max(wide.end_ns, self.first_look_ns + 1)))
        around = tuple(occupants.periods(looked_at)) if looked_at is not None else ()
        view = NodeView(
            self.directory,
            tuple(each for occupancy in around if (each := occupancy.cut(interval)) is not None),
            around,
            occupants.at(self.first_look_ns) if self.before is not None else None,
            tuple(sorted(self._books)),
            self.before,
            self._clock,
        )
        slices: list[CostSlice] = []
        lives: dict[str, Interval] = {}
        lengths: dict[str, int] = {}
        for uuid in sorted(self._books):
            window = self._books[uuid].window(self.node, interval, view)
            if window is not None:
                slices += close(window, self.quote(uuid, interval.start_ns))
                lives[uuid] = window.life
                lengths[uuid] = window.length_ns
        return tuple(slices), lives, lengths


def _is_same_boot(boot: Boot, before: Checkpoint) -> bool:
    """Whether the node was not booted since *before*; where its boots have no ids, by when it was booted."""
    if boot.boot_id and before.boot_id:
        return boot.boot_id == before.boot_id
    return boot.booted_at_ns < before.closed_through_ns
