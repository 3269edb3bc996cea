"""Random and hostile inputs for everything that parses what others send."""
