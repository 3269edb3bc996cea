"""
All clusters: receive, keep, answer, warn.

Data flows one way: ingest -> store -> totals -> report -> face.
May know gpucost; never the agent.
"""
