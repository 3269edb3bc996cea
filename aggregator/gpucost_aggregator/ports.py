"""Why an address can not be listened on, in words that name the setting."""

import errno
import socket

from gpucost.settings_source import HostPort
from gpucost.trouble import EXIT_PERMISSION, EXIT_PORT, EXIT_SETTINGS, Stop


def try_port(flag: str, address: HostPort) -> None:
    """
    Bind *address*, which *flag* gave, and let go of it at once.

    Raises:
        Stop: It can not be bound: exit code 6 if somebody has it, 4 if this user may not, 2 if it is none here.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As servers do it, so that connections of one that has just ended are in nobody's way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as trouble:
        raise why_not_bound(flag, address, trouble) from None


def why_not_bound(flag: str, address: HostPort, trouble: OSError) -> Stop:
    """What *trouble* with *address* means to whoever set *flag*."""
    if trouble.errno == errno.EADDRINUSE:
        return Stop(
            f"{flag} {address}: port {address.port} is in use: end who has it, or give another", EXIT_PORT
        )
    if trouble.errno in (errno.EACCES, errno.EPERM):
        return Stop(
            f"{flag} {address}: this user may not listen on port {address.port}: take one from 1024 on",
            EXIT_PERMISSION,
        )
    return Stop(
        f"{flag} {address}: is no address of this machine ({trouble.strerror}): give one that it has",
        EXIT_SETTINGS,
    )
