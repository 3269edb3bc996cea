"""Templates and files of the page: read once, named by their content, nothing from anywhere else."""

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

import jinja2

from gpucost_aggregator.ui.figures import PARTS
from gpucost_aggregator.ui.shell import Shell

THEME_SCRIPT = (
    "(function(){var d=document.documentElement;if(d.dataset.theme)return;"
    'try{var t=localStorage.getItem("gpucost-theme");if(t)d.dataset.theme=t}catch(e){}})()'
)
"""The one inline script: it runs before the first paint, or the page would flash in the wrong theme."""

_THEME_HASH = base64.b64encode(hashlib.sha256(THEME_SCRIPT.encode()).digest()).decode()

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        f"script-src 'self' 'sha256-{_THEME_HASH}'",
        "style-src 'self'",
        "style-src-attr 'unsafe-inline'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""Widths of bars are style attributes; everything else comes from our own files."""

FILES = {"app.css": "text/css", "app.js": "text/javascript"}


@cache
def static_file(name: str) -> bytes:
    """
    A file that pages load.

    Raises:
        KeyError: It is none of ``FILES``.
    """
    if name not in FILES:
        raise KeyError(name)
    return resources.files(__package__).joinpath("static", name).read_bytes()


@cache
def static_link(name: str) -> str:
    """Where the file is; the address changes with its content, so that it may be kept for ever."""
    return f"/static/{hashlib.sha256(static_file(name)).hexdigest()[:12]}/{name}"


def render(template: str, shell: Shell, **views: Any) -> str:
    """The page *template* as HTML; names of *views* are those in the template."""
    return _environment().get_template(template).render(shell=shell, **views)


def render_bare(template: str, **views: Any) -> str:
    """A page without a shell."""
    return _environment().get_template(template).render(**views)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gpucost_aggregator.ui", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(parts=PARTS, static_link=static_link, theme_script=THEME_SCRIPT)
    return environment
