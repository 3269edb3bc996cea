"""
Who may write, and who may read.

May know gpucost; knows no slice, no store, no report and no stream: it gets plain values and answers with plain values.
"""
