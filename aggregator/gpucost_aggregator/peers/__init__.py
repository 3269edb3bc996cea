"""
The other aggregators: what the nodes look like now whose streams end there, asked for when somebody reads.

May know live and gpucost; knows no store, no face, and nobody who reads.
"""
