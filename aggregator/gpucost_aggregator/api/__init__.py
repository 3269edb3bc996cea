"""
One handler a report, several faces: JSON, CSV, HTML.

May know access, live, peers, reports, store and ui; knows nobody who sends slices.
"""

from gpucost_aggregator.api.application import make_app
from gpucost_aggregator.api.parts import Parts

__all__ = ["Parts", "make_app"]
