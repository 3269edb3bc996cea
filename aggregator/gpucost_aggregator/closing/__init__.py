"""
Books that nobody else closes: gaps in an agent's numbers, and nodes that are gone.

May know store, the lease and gpucost; knows neither streams nor faces.
"""
