"""The commands' end of the admin socket; synchronous, as a command asks one thing and ends."""

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from gpucost.trouble import EXIT_PERMISSION, EXIT_SETTINGS, EXIT_STORE, Stop

from gpucost_aggregator.admin.socket_place import connect

_CONNECT_S = 10.0
_ANSWER_S = 3_600.0
"""A backup of a big store takes minutes; who asked can interrupt it."""


class _Line(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = connect(self._path, _CONNECT_S)
        self.sock.settimeout(_ANSWER_S)


class AdminClient:
    """Asks the server whose socket is at *path*; every method raises Stop with the words for the operator."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, route: str, parameters: Mapping[str, object] | None = None) -> Any:
        """What *route* answers; parameters that are None are left out."""
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        return self._ask("GET", f"{route}?{urlencode(given, doseq=True)}" if given else route, None)

    def post(self, route: str, body: Mapping[str, object] | None = None) -> Any:
        """What *route* answers to *body*."""
        return self._ask("POST", route, json.dumps(body or {}))

    def _ask(self, method: str, target: str, body: str | None) -> Any:
        line = _Line(self._path)
        try:
            line.request(method, target, body, {"Content-Type": "application/json"} if body else {})
            response = line.getresponse()
            said = json.loads(response.read())
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            raise Stop(
                f"no aggregator runs at {self._path}: start it, or give the --data-dir or --admin-socket "
                "of the one that runs",
                EXIT_SETTINGS,
            ) from None
        except PermissionError:
            raise Stop(
                f"{self._path}: this user may not ask: run the command as the user of the aggregator",
                EXIT_PERMISSION,
            ) from None
        except (OSError, HTTPException, ValueError) as trouble:
            raise Stop(
                f"{self._path}: the aggregator did not answer ({trouble}): see its log, and ask again",
                EXIT_STORE,
            ) from None
        finally:
            line.close()
        if response.status == 200:
            return said
        code = EXIT_SETTINGS if response.status < 500 else said.get("exit_code", EXIT_STORE)
        raise Stop(said.get("error", f"the aggregator answered {response.status}"), code)
