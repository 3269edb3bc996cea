"""
Proof `chaos`: real programs and a seeded run of faults; what is left in the ledger, against what really happened.

Imports nothing of the programs that it runs.
"""
