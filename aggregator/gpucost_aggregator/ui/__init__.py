"""
The page: reports as HTML, finished on the server.

May know reports and gpucost; views are finished strings, templates only place them.
"""
