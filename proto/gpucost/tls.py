"""
Certificates of both ends of the wire, read from files and checked before anybody connects.

A server looks at its files again at each handshake, so that a renewed certificate needs no restart;
a client builds its credentials anew for each connection.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
from gpucost.trouble import EXIT_PERMISSION, EXIT_SETTINGS, Stop


@dataclass(frozen=True, slots=True)
class Pems:
    """What the files hold, as PEM; None for a file that was not named."""

    ca: bytes | None
    cert: bytes | None
    key: bytes | None


def read_pems(ca: Path | None, cert: Path | None, key: Path | None) -> Pems:
    """
    The contents of the files, which fit each other.

    Raises:
        Stop: A file can not be read (exit code 4 where that is not allowed, else 2), holds something else,
            or certificate and key are not of one pair.
    """
    if (cert is None) != (key is None):
        there, missing = ("--tls-cert", "--tls-key") if key is None else ("--tls-key", "--tls-cert")
        raise Stop(f"{there} is set and {missing} is not: set both, or neither", EXIT_SETTINGS)
    pems = Pems(_read("--tls-ca", ca), _read("--tls-cert", cert), _read("--tls-key", key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if ca is not None:
        try:
            context.load_verify_locations(ca)
        except (ssl.SSLError, OSError):
            raise Stop(
                f"--tls-ca {ca}: holds no certificate: write the authority's, as PEM", EXIT_SETTINGS
            ) from None
    if cert is not None:
        if b"ENCRYPTED" in (pems.key or b""):
            raise Stop(
                f"--tls-key {key}: is encrypted: write it without a passphrase, readable by this user only",
                EXIT_SETTINGS,
            )
        try:
            # Without a password here OpenSSL may ask for one on the terminal.
            context.load_cert_chain(cert, key, password="")
        except (ssl.SSLError, OSError, ValueError) as trouble:
            raise Stop(_why_no_pair(cert, key, trouble), EXIT_SETTINGS) from None
    return pems


def channel_credentials(ca: Path | None, cert: Path | None, key: Path | None) -> grpc.ChannelCredentials:
    """
    What a client shows and trusts: *ca* (None: the system's authorities), and its own pair if it has one.

    Raises:
        Stop: As `read_pems`.
    """
    pems = read_pems(ca, cert, key)
    return grpc.ssl_channel_credentials(pems.ca, pems.key, pems.cert)


def server_credentials(
    ca: Path | None, cert: Path, key: Path, on_refused: Callable[[str], None] = lambda _: None
) -> grpc.ServerCredentials:
    """
    What a server shows, and with *ca* that every client has to show a certificate of that authority.

    The files are read again when they change. If they are wrong then, the old ones stay in use
    and *on_refused* gets the reason, once a change; it is called by gRPC's threads and may not block.

    Raises:
        Stop: As `read_pems`, for the files as they are now.
    """
    watch = _Watch(ca, cert, key, on_refused)
    return grpc.dynamic_ssl_server_credentials(
        _configuration(watch.pems),
        watch.configuration,  # type: ignore[arg-type]  # None keeps the old, as gRPC's documentation says
        require_client_authentication=ca is not None,
    )


class _Watch:
    """The files of a server: what they held when they were last right, and what they looked like when last seen."""

    def __init__(self, ca: Path | None, cert: Path, key: Path, on_refused: Callable[[str], None]) -> None:
        self._ca, self._cert, self._key = ca, cert, key
        self._on_refused = on_refused
        self._seen = self._look()
        self.pems = read_pems(ca, cert, key)

    def configuration(self) -> grpc.ServerCertificateConfiguration | None:
        """The new files, where there are new ones that are right; None keeps the old."""
        seen = self._look()
        if seen == self._seen:
            return None
        self._seen = seen
        try:
            self.pems = read_pems(self._ca, self._cert, self._key)
        except Stop as trouble:
            self._on_refused(str(trouble))
            return None
        return _configuration(self.pems)

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        # Inode, size and time: a mounted Secret is renewed by renaming a link, cert-manager writes in place.
        found = []
        for file in (self._ca, self._cert, self._key):
            try:
                at = file.stat() if file else None
            except OSError:
                at = None
            found.append((at.st_ino, at.st_size, at.st_mtime_ns) if at else (0, 0, 0))
        return tuple(found)


def _configuration(pems: Pems) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pems.key or b"", pems.cert or b"")], pems.ca)


def _read(flag: str, file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        return file.read_bytes()
    except PermissionError:
        raise Stop(f"{flag} {file}: this user may not read it", EXIT_PERMISSION) from None
    except OSError as trouble:
        raise Stop(f"{flag} {file}: can not be read: {trouble.strerror}", EXIT_SETTINGS) from None


def _why_no_pair(cert: Path, key: Path | None, trouble: Exception) -> str:
    if "MISMATCH" in (getattr(trouble, "reason", "") or ""):
        return f"--tls-cert {cert} and --tls-key {key} are not of one pair: take the key that the certificate is for"
    return f"--tls-cert {cert}, --tls-key {key}: hold no certificate with its key: write both, as PEM"
