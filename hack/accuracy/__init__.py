"""
How right the books are: a node that shares its GPUs in every way, real programs, and the truth beside their answers.

What is compared comes from a scenario, the simulator's own record and public answers; no code under test is imported.
"""
