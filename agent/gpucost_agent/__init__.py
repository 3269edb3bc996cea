"""
One node: read, attribute, price, keep, send.

Data flows one way: sources -> readings -> settled stretches -> slices -> spool -> stream.
May know gpucost; never the aggregator.
"""
