"""The node's dcgm-exporter: activity where the driver tells none, and what the driver never tells."""

from typing import Protocol

from gpucost.trouble import Retry

from gpucost_agent.loops.room import Complaint, Room
from gpucost_agent.readings import DcgmReading

EXPORTER_PERIOD_S = 5.0
"""The exporter takes a new value each 30 s by default; five seconds bound how late it is credited."""

_LOOK_FOR_S = 30.0
"""Without an exporter it is looked for less often, but for the first minute, in which the node's pods become known."""

_EARLY_LOOKS = 12


class ExporterSource(Protocol):
    """The exporter; ``read`` blocks for seconds at most."""

    def read(self) -> DcgmReading:
        """A scrape. Raises Retry where there is none."""
        ...


def watch_exporter(room: Room, source: ExporterSource, configured: bool) -> None:
    """Thread of the exporter. Where none was *configured*, a node without one is no trouble."""
    complaint = Complaint(room, "dcgm_exporter")
    wait_s, answered, looks = 0.0, False, 0
    told_missing: tuple[str, ...] = ()
    while not room.stop.wait(wait_s):
        try:
            reading = source.read()
        except Retry as trouble:
            if configured or answered:
                complaint.failing(str(trouble))
            looks += 1
            wait_s = EXPORTER_PERIOD_S if answered or looks <= _EARLY_LOOKS else _LOOK_FOR_S
            continue
        complaint.works()
        wait_s, answered = EXPORTER_PERIOD_S, True
        for name in reading.troubles:
            room.metrics.troubles.labels("dcgm", name).inc()
        if reading.missing != told_missing:
            told_missing = reading.missing
            if told_missing:
                room.log.info("dcgm_columns_missing", columns=told_missing)
        room.take(reading)
