"""The faults, each a class; a fault is played in steps, so that several may be under way at once."""
