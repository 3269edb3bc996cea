"""
What an agent costs the node that it runs on, measured from outside while a simulated node keeps it busy.

It starts real programs and reads /proc, a scrape and public answers; it imports nothing of what it measures.
"""
