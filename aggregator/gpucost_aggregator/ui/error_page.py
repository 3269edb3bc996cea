"""What went wrong, and the one thing to do about it, as a page of its own."""

from gpucost_aggregator.ui.pages import render_bare
from gpucost_aggregator.ui.shell import PAGES, Link

NOT_FOUND = 404
"""Where nothing is, links to what there is say more than a hint."""


def error_html(status: int, error: str, hint: str, theme: str) -> str:
    """The page of an *error*; it needs no store, for that may be what failed."""
    titles = {400: "This address can not be read", 404: "There is nothing here", 503: "Not now"}
    return render_bare(
        "error.html",
        theme=theme,
        title=titles.get(status, "That did not work"),
        error=error,
        hint="" if status == NOT_FOUND else hint,
        pages=tuple(Link(name, f"{path}?theme={theme}" if theme else path) for path, name in PAGES),
    )
