"""
Slices come in: one stream an agent, checked, kept, acknowledged.

May know store and gpucost; knows nobody who reads.
"""
