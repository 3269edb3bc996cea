"""One file for each kind of sender; every_target.py has the list."""
