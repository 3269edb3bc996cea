"""Answers to requests that can not be answered: what is wrong, and what to do."""

import json
from typing import Any

from aiohttp import web


class BadRequest(Exception):
    """The request can not be answered; *parameter* is the one at fault, empty if none is."""

    status = 400

    def __init__(self, error: str, hint: str, parameter: str = "") -> None:
        super().__init__(error)
        self.error = error
        self.hint = hint
        self.parameter = parameter


class NotYours(BadRequest):
    """The request asks for what this reader may not see."""

    status = 403


class NotNow(BadRequest):
    """Whether the request may be answered can not be found out now."""

    status = 503


def problem(status: int, error: str, hint: str, parameter: str = "") -> web.Response:
    """A JSON body with ``error`` and ``hint``, and the ``parameter`` at fault where there is one."""
    body = {"error": error, "hint": hint} | ({"parameter": parameter} if parameter else {})
    return json_response(body, status)


def json_response(body: Any, status: int = 200) -> web.Response:
    """*body* as JSON; names of people's things stay readable."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return web.Response(text=text + "\n", status=status, content_type="application/json", charset="utf-8")
