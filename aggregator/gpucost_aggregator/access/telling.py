"""How often something is logged that anybody outside can cause: often enough to be seen, and never more."""

from gpucost.units import NS_PER_SECOND

MOST_A_MINUTE = 20
_MINUTE_NS = 60 * NS_PER_SECOND


class Telling:
    """Counts what there was to tell; instants are those of a monotonic clock."""

    def __init__(self) -> None:
        self._since_ns: int | None = None
        self._count = 0

    def may_tell(self, now_ns: int) -> bool:
        """Whether to tell this one."""
        if self._since_ns is None or now_ns - self._since_ns >= _MINUTE_NS:
            self._since_ns, self._count = now_ns, 0
        self._count += 1
        return self._count <= MOST_A_MINUTE
