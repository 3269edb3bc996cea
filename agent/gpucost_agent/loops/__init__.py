"""
What the agent's threads do, over and over, until it ends: sources into the books, due windows into the spool.

One lock guards the books; no loop holds it while it waits for the outside.
"""
