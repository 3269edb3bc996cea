"""The real clock. Only the programs' app.py and __main__.py build one; everything below is given it."""

import time

from gpucost.clock import Instant


class SystemClock:
    """This machine's two clocks."""

    def now(self) -> Instant:
        """This moment."""
        return Instant(time.time_ns(), time.monotonic_ns())
