"""
What nodes look like now: each one's latest glimpse, in memory only.

May know gpucost; knows no store, no stream and no face. Nothing of it is kept, acknowledged or billed.
"""
