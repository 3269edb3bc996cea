"""
The page: reports as HTML, finished on the server.

May know reports, live, the row types of the store and gpucost; views are finished strings, templates only place them.
"""
