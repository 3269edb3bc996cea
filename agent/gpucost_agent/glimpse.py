"""What a node looks like now, for a page and for timers: the slices of the last seconds, which no book keeps."""

from dataclasses import dataclass

from gpucost.units import NS_PER_SECOND
from gpucost.window import Interval
from gpucost.wire import WindowSlices

from gpucost_agent.loops.room import Room

LAG_NS = 2 * NS_PER_SECOND
"""The driver's samples and the kubelet's answers of the last two seconds may not have been read yet."""

SPAN_NS = 6 * NS_PER_SECOND
"""Long enough that a source that speaks each five seconds has spoken once."""


@dataclass(frozen=True, slots=True)
class Glimpse:
    """Asked by the stream's thread; holds the books' lock for some milliseconds."""

    room: Room

    def __call__(self) -> WindowSlices | None:
        """The slices of the last seconds; None where nobody looked for so long yet."""
        room = self.room
        with room.lock:
            end_ns = room.clock.now().wall_ns - LAG_NS
            if end_ns - SPAN_NS < room.books.first_look_ns:
                return None
            interval = Interval(end_ns - SPAN_NS, end_ns)
            return WindowSlices(interval.start_ns, interval.length_ns, room.books.glimpse(interval))
