"""
Slices come in: one stream an agent, checked, kept, acknowledged.

May know access, closing, live, store and gpucost; knows nobody who reads.
"""
