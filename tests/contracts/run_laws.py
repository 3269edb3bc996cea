"""
The ledger's laws over all windows of a run, from the slices alone: laws 1 to 6.

Computed anew from the scenario, the price and the windows' own ends; nothing of the agent is asked.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from gpucost.cost_slice import CostSlice

from contracts.node_stage import NANODOLLARS_PER_HOUR, SECOND
from contracts.run_books import Books, Window
from proofs.law_checks import REMAINDER, WHOLE, devices
from proofs.random_windows import Cut, Instance, Part
from simnode.mig_profiles import partitioning
from simnode.world import Gpu, Node

HOUR_NS = 3_600 * SECOND
DeviceName = tuple[str, str, str, str]
_UNSURE_S = 5.0
"""Around a change of a GPU's layout its windows may have the devices of both."""


class Laws:
    """
    The books of one node against its scenario.

    Every GPU of the node lives from the simulation's start on. *blind* are the seconds in which nobody looked, so
    that nobody knows the GPUs' layouts. *stepped*: the wall clock was stepped, so a window may be longer or shorter
    than it says, but equally for all GPUs.
    """

    def __init__(
        self,
        books: Books,
        node: Node,
        window_ns: int,
        blind: Sequence[tuple[float, float]] = (),
        stepped: bool = False,
    ) -> None:
        self._books, self._node, self._window_ns, self._stepped = books, node, window_ns, stepped
        self._blind = blind
        self.odd_windows: dict[int, int] = {}
        """How long windows really were that say something else, by their starts."""

    def breaches(self) -> list[str]:
        """What is wrong, in words; empty if nothing is."""
        return [
            *self._tiling(),
            *self._keys(),
            *(words for each in self._books.windows for words in self._window(each)),
        ]

    def charged_ns(self, gpu: Gpu) -> int:
        """All that was ever charged for a GPU."""
        return sum(row.time.charged_ns for row in self._books.rows(gpu.uuid))

    def _tiling(self) -> Iterator[str]:
        windows, started = self._books.windows, self._books.start_ns
        if not windows:
            yield "law 6: there is no window"
            return
        if not windows[0].start_ns <= started < windows[0].end_ns:
            yield f"law 6: the first window begins {windows[0].start_ns - started} ns after the node"
        for before, after in pairwise(windows):
            if before.end_ns != after.start_ns:
                yield f"law 6: {after.start_ns - before.end_ns} ns between two windows"
        for window in windows:
            if not 0 < window.end_ns - window.start_ns <= self._window_ns - window.start_ns % self._window_ns:
                yield f"law 6: a window from {window.start_ns} to {window.end_ns}"

    def _keys(self) -> Iterator[str]:
        counts = Counter(row.key for row in self._books.rows())
        yield from (f"law 5: {key} stands {count} times" for key, count in counts.items() if count > 1)

    def _window(self, window: Window) -> Iterator[str]:
        begin_ns = max(window.start_ns, self._books.start_ns)
        by_gpu: dict[str, list[CostSlice]] = defaultdict(list)
        for row in window.rows:
            by_gpu[row.key.device.gpu_uuid].append(row)
            yield from _slice(row, window)
        lengths = {sum(row.time.charged_ns for row in by_gpu[gpu.uuid]) for gpu in self._node.gpus}
        real_ns = window.end_ns - begin_ns
        if self._stepped and len(lengths) == 1 and lengths != {real_ns}:
            (real_ns,) = lengths
            self.odd_windows[window.start_ns] = real_ns
        for gpu in self._node.gpus:
            yield from self._gpu(window, gpu, by_gpu.pop(gpu.uuid, []), real_ns)
        yield from (f"law 2: {uuid} is no GPU of the node" for uuid in by_gpu)

    def _gpu(self, window: Window, gpu: Gpu, rows: Sequence[CostSlice], real_ns: int) -> Iterator[str]:
        begin_s, end_s = self._books.second(window.start_ns), self._books.second(window.end_ns)
        where = f"GPU {gpu.index} from {begin_s:g} s to {end_s:g} s"
        charged_ns = sum(row.time.charged_ns for row in rows)
        reserved_ns = sum(row.time.reserved_ns for row in rows)
        if (charged_ns, reserved_ns) != (real_ns, real_ns):
            yield f"law 2: {where}: {real_ns} ns, charged {charged_ns} ns, reserved {reserved_ns} ns"
        begin_ns = max(window.start_ns, self._books.start_ns) % HOUR_NS
        from_ns, to_ns = begin_ns, begin_ns + real_ns
        if window.start_ns in self.odd_windows:
            from_ns, to_ns = 0, real_ns
        cost = NANODOLLARS_PER_HOUR * to_ns // HOUR_NS - NANODOLLARS_PER_HOUR * from_ns // HOUR_NS
        costs = sum(row.cost.nanodollars for row in rows), sum(row.cost.reserved_nanodollars for row in rows)
        if costs != (cost, cost):
            yield f"law 3: {where}: {cost} nano-dollars, charged and reserved are {costs}"
        expected = self._devices(gpu, window, real_ns)
        found: Counter[DeviceName] = Counter()
        for row in rows:
            device = row.key.device
            name = (_text(device.gi), _text(device.ci), device.profile, _text(device.placement))
            found[name] += row.time.charged_ns
        if expected is not None and expected != dict(found):
            yield f"law 1: {where}: {expected} expected, charged {dict(found)}"

    def _devices(self, gpu: Gpu, window: Window, real_ns: int) -> dict[DeviceName, int] | None:
        """The devices of a GPU in a window, and their time; None where they may be others in a part of it."""
        begin_s, end_s = self._books.second(window.start_ns), self._books.second(window.end_ns)
        changes = [(layout.at_ns / SECOND, layout.at_ns / SECOND) for layout in gpu.layouts if layout.at_ns]
        unsure = [(from_s - _UNSURE_S, to_s + _UNSURE_S) for from_s, to_s in (*changes, *self._blind)]
        if self._stepped or (
            gpu.layouts and any(from_s < end_s and begin_s < to_s for from_s, to_s in unsure)
        ):
            return None
        layout = gpu.layout(window.start_ns - self._books.start_ns)
        if layout is None or not layout.instances:
            return {WHOLE if layout is None else REMAINDER: real_ns}
        kinds = partitioning(gpu.model)
        instances = tuple(
            Instance(
                each.gi,
                each.profile,
                each.start,
                each.slices,
                each.size,
                tuple(Part(part.ci, part.slices, ()) for part in each.compute_instances),
            )
            for each in layout.instances
        )
        cut = Cut(real_ns, (), instances, kinds.slices, kinds.memory_slices)
        return {device: ns for device, ns in devices(cut) if ns}


def _slice(row: CostSlice, window: Window) -> Iterator[str]:
    time, cost = row.time, row.cost
    amounts = (
        time.reserved_ns,
        time.used_ns,
        time.idle_ns,
        time.unmeasured_ns,
        cost.used_nanodollars,
        cost.idle_nanodollars,
        cost.unmeasured_nanodollars,
        cost.reserved_nanodollars,
    )
    rounding_ns = 0 if row.key.device.is_whole else 50
    if min(amounts) < 0 or time.charged_ns > time.reserved_ns + time.used_ns + rounding_ns:
        yield f"law 4: {row}"
    if row.key.window_start_ns != window.start_ns:
        yield f"law 5: {row} is of another window"


def _text(number: int | None) -> str:
    return "" if number is None else str(number)
