"""The aggregator's knobs: each with its default, its unit and the reason. Read by __main__ and app only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from gpucost.logs import FORMATS, LEVELS
from gpucost.settings_source import (
    CHECK,
    RUN,
    VERSION,
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
    text,
    words,
)

from gpucost_aggregator.admin.commands import OPERATOR_COMMANDS
from gpucost_aggregator.replica_settings import REPLICA_SETTINGS, ReplicaSettings, replica_settings


def _networks(value: str) -> tuple[str, ...]:
    found = words(value)
    for word in found:
        try:
            ip_network(word)
        except ValueError:
            raise ValueError(
                f"{word!r} is no address of a proxy: write for example 10.0.0.7 or 10.0.0.0/24"
            ) from None
    return found


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
    "as readers are not asked who they are until --readers-file or --trusted-proxies is set.",
)
ADMIN_SOCKET = Setting[Path | None](
    "admin-socket",
    path,
    None,
    "Unix socket of the commands for operators, which only the user of the process may open. "
    "Not set, it is admin.sock in --data-dir, so that a command finds it by the same flag.",
)
INSECURE = Setting[bool](
    "insecure",
    boolean,
    False,
    "Serve plain text beyond loopback: HTTP, and gRPC where --tls-cert is not set. "
    "Off, as whoever reaches the ports may then read everything, unless readers are asked who they are, and write "
    "everything until the first cluster has joined; and who listens on the way sees tokens.",
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
WRITERS_FILE = Setting[Path | None](
    "writers-file",
    path,
    None,
    "YAML file: which client certificates and service accounts write which clusters. Not set, a certificate writes the "
    "cluster whose name it has, and tokens of `join` theirs. Read again when it changes.",
)
READERS_FILE = Setting[Path | None](
    "readers-file",
    path,
    None,
    "YAML file: tokens and identities of readers, and the clusters and namespaces that each may see. Not set, readers "
    "are not asked who they are, unless --trusted-proxies is. Read again when it changes.",
)
TRUSTED_PROXIES = Setting[tuple[str, ...]](
    "trusted-proxies",
    _networks,
    (),
    "Addresses or networks, with commas between them, of proxies that say in --identity-header who reads. None, as "
    "anybody can write a header.",
)
IDENTITY_HEADER = Setting[str](
    "identity-header",
    text,
    "X-Forwarded-User",
    "Header in which --trusted-proxies name the reader; the default is that of oauth2-proxy. The proxy has to take it "
    "away from what clients send.",
)
GROUPS_HEADER = Setting[str](
    "groups-header",
    text,
    "",
    "Header in which --trusted-proxies name the reader's groups, with commas between them, for `review` in "
    "--readers-file; X-Forwarded-Groups is that of oauth2-proxy. None, as a proxy that does not set it may let a "
    "client's own pass.",
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
        ADMIN_SOCKET,
        INSECURE,
        TLS_CA,
        TLS_CERT,
        TLS_KEY,
        WRITERS_FILE,
        READERS_FILE,
        TRUSTED_PROXIES,
        IDENTITY_HEADER,
        GROUPS_HEADER,
        *REPLICA_SETTINGS,
        MEMORY_LIMIT,
        THREADS,
        LOG_FORMAT,
        LOG_LEVEL,
    ),
    commands=(RUN, CHECK, VERSION, *(each.command for each in OPERATOR_COMMANDS.values())),
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
class Access:
    """
    How callers are told apart. *asks_writers*: they have to say who they are, though no cluster has joined yet.

    *proxies* may say in *identity_header* who reads, and in *groups_header*, where it is set, of which groups.
    """

    asks_writers: bool = False
    writers_file: Path | None = None
    readers_file: Path | None = None
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    identity_header: str = IDENTITY_HEADER.default
    groups_header: str = GROUPS_HEADER.default


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
    admin_socket: Path | None = None
    access: Access = field(default_factory=Access)
    replicas: ReplicaSettings = field(default_factory=ReplicaSettings)


def read_command(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[Loaded, Settings]:
    """
    All that was said, with the command and the values of its own flags; and the settings.

    Raises:
        Stop: One is unknown or no value, or they do not fit each other (exit code 2).
    """
    loaded = load(PROGRAM, argv, environ)
    value = loaded.value
    if value(MEMORY_LIMIT) < _LEAST_MEMORY:
        raise loaded.stop(MEMORY_LIMIT.name, "too little to open a store: write 64MiB or more")
    if _ports_meet(value(GRPC_LISTEN), value(HTTP_LISTEN)):
        grpc, http = value(GRPC_LISTEN), value(HTTP_LISTEN)
        how = "are the same" if grpc == http else "have a port in common"
        raise loaded.stop(
            HTTP_LISTEN.name, f"{http} and {GRPC_LISTEN.flag} {grpc} {how}: give each its own port"
        )
    return loaded, Settings(
        data_dir=value(DATA_DIR),
        grpc_listen=value(GRPC_LISTEN),
        http_listen=value(HTTP_LISTEN),
        tls=_tls(loaded),
        memory_limit_bytes=value(MEMORY_LIMIT),
        threads=value(THREADS),
        log_format=value(LOG_FORMAT),
        log_level=value(LOG_LEVEL),
        admin_socket=value(ADMIN_SOCKET),
        access=_access(loaded),
        replicas=replica_settings(
            loaded,
            insecure=value(INSECURE),
            asks_readers=value(READERS_FILE) is not None or bool(value(TRUSTED_PROXIES)),
        ),
    )


def _ports_meet(one: HostPort, other: HostPort) -> bool:
    """Whether nobody could listen on both: one port, and one host, or every interface at one of them."""
    hosts = {_SAME_HOSTS.get(each.host, each.host) for each in (one, other)}
    return one.port == other.port != 0 and (len(hosts) == 1 or "" in hosts)


def _access(loaded: Loaded) -> Access:
    value = loaded.value
    has_tls = value(TLS_CERT) is not None
    if has_tls and value(TLS_CA) is None and value(WRITERS_FILE) is None:
        asks = not value(GRPC_LISTEN).is_loopback
    else:
        # An authority for agents, or a list of them, is there to be asked.
        asks = has_tls or value(WRITERS_FILE) is not None
    if value(GROUPS_HEADER) and not value(TRUSTED_PROXIES):
        raise loaded.stop(GROUPS_HEADER.name, "set without --trusted-proxies: nobody else may say it")
    return Access(
        asks,
        value(WRITERS_FILE),
        value(READERS_FILE),
        tuple(ip_network(word) for word in value(TRUSTED_PROXIES)),
        value(IDENTITY_HEADER),
        value(GROUPS_HEADER),
    )


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
