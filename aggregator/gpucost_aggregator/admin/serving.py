"""The admin socket: made for its owner alone, never taken from a live server, gone with its own."""

import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web
from gpucost.trouble import EXIT_PERMISSION, EXIT_PORT, EXIT_SETTINGS, Stop

from gpucost_aggregator.admin.socket_place import connect, socket_name

_PROBE_S = 2.0
_STOP_GRACE_S = 2.0


@asynccontextmanager
async def serving_admin(app: web.Application, path: Path) -> AsyncIterator[None]:
    """
    *app* at *path*, a socket with mode 0600, as long as this lasts.

    Raises:
        Stop: Another server has it (exit code 6), it can not be made (4), or something else is there (2).
    """
    listening = _listen(path)
    made = _identity(path)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP_GRACE_S)
    try:
        await runner.setup()
        await web.SockSite(runner, listening).start()
        yield
    finally:
        await runner.cleanup()
        listening.close()
        _remove(path, made)


def look_at_place(path: Path) -> None:
    """
    Whether a server could listen at *path*; changes nothing.

    Raises:
        Stop: As in `serving_admin`.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as trouble:
        raise _may_not(path, trouble) from None
    if not stat.S_ISSOCK(mode):
        raise Stop(f"--admin-socket {path}: a file that is no socket is there: give another", EXIT_SETTINGS)
    try:
        connect(path, _PROBE_S).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return
    except TimeoutError:
        pass  # A server that is too busy to answer is one.
    except OSError as trouble:
        raise _may_not(path, trouble) from None
    raise Stop(
        f"--admin-socket {path}: another aggregator listens there: stop it, or give this one its own",
        EXIT_PORT,
    )


def _listen(path: Path) -> socket.socket:
    look_at_place(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            path.unlink()  # Of a server that was killed.
        with socket_name(path) as name:
            listening.bind(name)
            # Before anybody can connect, as nobody listens yet.
            Path(name).chmod(0o600)
        listening.listen()
        listening.setblocking(False)
    except OSError as trouble:
        listening.close()
        raise _may_not(path, trouble) from None
    except BaseException:
        listening.close()
        raise
    return listening


def _remove(path: Path, made: tuple[int, int] | None) -> None:
    """Unless somebody else put another one there."""
    if made is not None and _identity(path) == made:
        with suppress(OSError):
            path.unlink()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _may_not(path: Path, trouble: OSError) -> Stop:
    return Stop(
        f"--admin-socket {path}: {trouble.strerror}: give a path in a folder that this user may write",
        EXIT_PERMISSION,
    )
