"""What somebody probably meant: one near name for a misspelt one."""

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean NAME?`` for the known name nearest to *word*; else all of them, where that is readable."""
    # Only somebody who misspelt something pays for this import.
    from difflib import get_close_matches  # noqa: PLC0415

    names = sorted(known)
    near = get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    if names and len(", ".join(names)) <= 200:
        return f"; known here: {', '.join(names)}"
    return ""
