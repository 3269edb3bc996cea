"""
Totals become rows: who paid what, and what is left over.

Pure: no clock, no I/O, no logs. Of the store it knows the row types only.
"""
