"""A clock that moves when it is told to."""

from gpucost.clock import Instant


class HandClock:
    """Wall and monotonic time go together, unless the wall is set."""

    def __init__(self, wall_ns: int = 1_800_000_000_000_000_000, monotonic_ns: int = 50_000_000_000) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns

    def now(self) -> Instant:
        return Instant(self._wall_ns, self._monotonic_ns)

    def pass_ns(self, elapsed_ns: int) -> None:
        self._wall_ns += elapsed_ns
        self._monotonic_ns += elapsed_ns

    def set_wall_ns(self, by_ns: int) -> None:
        """Somebody sets the wall clock."""
        self._wall_ns += by_ns
