"""The fixture ``play``: a scene played against a serving aggregator."""

from contracts.serving_streams import play

__all__ = ["play"]
