"""
What an operator asks of the running server: a Unix socket that only its owner opens, and the commands that call it.

May know access, closing, ingest and store; knows no settings and no face.
"""
