"""The aggregator's knobs: each with its default, its unit and the reason. Read by __main__ and app only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpucost.logs import FORMATS, LEVELS
from gpucost.settings_source import (
    HostPort,
    Loaded,
    Program,
    Setting,
    boolean,
    byte_size,
    choice,
    integer,
    listen_address,
    load,
    path,
)

DATA_DIR = Setting[Path](
    "data-dir",
    path,
    Path("/var/lib/gpucost-aggregator"),
    "Folder of the store; one aggregator writes it. The default is where a service keeps its state, "
    "beside the spool of an agent on the same machine.",
)
GRPC_LISTEN = Setting[HostPort](
    "grpc-listen",
    listen_address,
    HostPort("127.0.0.1", 9443),
    "Address where agents call. The default lets nobody in from outside until TLS is set up.",
)
HTTP_LISTEN = Setting[HostPort](
    "http-listen",
    listen_address,
    HostPort("127.0.0.1", 8080),
    "Address of reports, page and /metrics, in plain text. The default lets nobody in from outside, "
    "as readers are not asked who they are.",
)
INSECURE = Setting[bool](
    "insecure",
    boolean,
    False,
    "Serve plain text beyond loopback: HTTP, and gRPC where --tls-cert is not set. "
    "Off, as whoever reaches the ports may then write and read everything.",
)
TLS_CA = Setting[Path | None](
    "tls-ca",
    path,
    None,
    "Authority whose certificates agents have to show, as PEM. Not set, as agents may have none of their own.",
)
TLS_CERT = Setting[Path | None](
    "tls-cert", path, None, "Certificate of the gRPC server, as PEM. Not set, as only its owner can give one."
)
TLS_KEY = Setting[Path | None](
    "tls-key", path, None, "Key of --tls-cert, as PEM. Not set, as only its owner can give one."
)
MEMORY_LIMIT = Setting[int](
    "memory-limit",
    byte_size,
    1 << 30,
    "Bytes for the store's buffers; the process needs some 350 MiB beside them. 1 GiB answers a month of "
    "10,000 GPUs from memory.",
)
THREADS = Setting[int](
    "threads",
    integer(at_least=1, at_most=256),
    2,
    "Threads that the store computes with. Two leave room for the streams on a small machine.",
)
LOG_FORMAT = Setting[str](
    "log-format",
    choice(*FORMATS),
    "json",
    "How log lines look. JSON, as a cluster's log collector reads them.",
)
LOG_LEVEL = Setting[str](
    "log-level",
    choice(*LEVELS),
    "info",
    "From which level on lines are logged. info tells which agents come and go, and all that is wrong.",
)

PROGRAM = Program(
    "gpucost-aggregator",
    (
        DATA_DIR,
        GRPC_LISTEN,
        HTTP_LISTEN,
        INSECURE,
        TLS_CA,
        TLS_CERT,
        TLS_KEY,
        MEMORY_LIMIT,
        THREADS,
        LOG_FORMAT,
        LOG_LEVEL,
    ),
    about="Keeps what the agents of all clusters send, and answers what each GPU cost.",
)

_LEAST_MEMORY = 64 << 20

_SAME_HOSTS = {"0.0.0.0": "", "::": "", "localhost": "127.0.0.1"}  # noqa: S104  # compared, never bound
"""Other spellings of every interface, and of loopback."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificate and key of the gRPC server; with *ca*, agents show one too."""

    cert: Path
    key: Path
    ca: Path | None


@dataclass(frozen=True, slots=True)
class Settings:
    """One validated set; None for *tls* is plain text, which is then allowed."""

    data_dir: Path
    grpc_listen: HostPort
    http_listen: HostPort
    tls: Tls | None
    memory_limit_bytes: int
    threads: int
    log_format: str
    log_level: str


def read_settings(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[str, Settings]:
    """
    The command and the settings.

    Raises:
        Stop: One is unknown or no value, or they do not fit each other (exit code 2).
    """
    loaded = load(PROGRAM, argv, environ)
    value = loaded.value
    if value(MEMORY_LIMIT) < _LEAST_MEMORY:
        raise loaded.stop(MEMORY_LIMIT.name, "too little to open a store: write 64MiB or more")
    if ports_meet(value(GRPC_LISTEN), value(HTTP_LISTEN)):
        grpc, http = value(GRPC_LISTEN), value(HTTP_LISTEN)
        how = "are the same" if grpc == http else "have a port in common"
        raise loaded.stop(
            HTTP_LISTEN.name, f"{http} and {GRPC_LISTEN.flag} {grpc} {how}: give each its own port"
        )
    return loaded.command, Settings(
        data_dir=value(DATA_DIR),
        grpc_listen=value(GRPC_LISTEN),
        http_listen=value(HTTP_LISTEN),
        tls=_tls(loaded),
        memory_limit_bytes=value(MEMORY_LIMIT),
        threads=value(THREADS),
        log_format=value(LOG_FORMAT),
        log_level=value(LOG_LEVEL),
    )


def ports_meet(one: HostPort, other: HostPort) -> bool:
    """Whether nobody could listen on both: one port, and one host, or every interface at one of them."""
    hosts = {_SAME_HOSTS.get(each.host, each.host) for each in (one, other)}
    return one.port == other.port != 0 and (len(hosts) == 1 or "" in hosts)


def _tls(loaded: Loaded) -> Tls | None:
    value = loaded.value
    ca, cert, key = value(TLS_CA), value(TLS_CERT), value(TLS_KEY)
    if cert is None and key is not None:
        raise loaded.stop(TLS_KEY.name, "set without --tls-cert: set both, or neither")
    if cert is not None and key is None:
        raise loaded.stop(TLS_CERT.name, "set without --tls-key: set both, or neither")
    if cert is None and ca is not None:
        raise loaded.stop(
            TLS_CA.name, "set without --tls-cert: agents can show a certificate only to a server with one"
        )
    insecure = value(INSECURE)
    if cert is None and not insecure and not value(GRPC_LISTEN).is_loopback:
        raise loaded.stop(
            GRPC_LISTEN.name,
            f"{value(GRPC_LISTEN)} would serve plain text beyond loopback: "
            "set --tls-cert and --tls-key, or say --insecure",
        )
    if not insecure and not value(HTTP_LISTEN).is_loopback:
        raise loaded.stop(
            HTTP_LISTEN.name,
            f"{value(HTTP_LISTEN)} would serve plain text beyond loopback: "
            "listen on 127.0.0.1 behind a proxy with TLS, or say --insecure",
        )
    if cert is None or key is None:
        return None
    return Tls(cert, key, ca)
