"""Simulated GPU nodes: what happens around an agent, by one scenario file. Knows nothing of gpucost."""
