"""
What only a real GPU can tell: `make gpu` reads its driver with the agent's own sources, under a load that is known.

The same analysis runs against the simulated driver (`--simulated`), where its answers are known beforehand.
"""
