"""
From readings to slices: integrate, settle, price, close a window.

Pure: no I/O, no clock, no logs. May know gpucost and the readings.
"""
