"""
Checks a fleet's books from the outside.

It reads a scenario, a price book and HTTP answers, and has its own arithmetic: nothing here imports what is checked.
What each tolerance allows, and why, is in ../README.md.
"""
