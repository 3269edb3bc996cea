"""
The demo: two small simulated GPU clusters, the real agent on each node, the real aggregator, and a check of the sums.

Everything is a process of its own; nothing here imports any of them.
"""
