"""The command `check`: what `run` would do, and what would keep it from it. Changes nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gpucost.logs import logger
from gpucost.settings_source import HostPort
from gpucost.tls import read_pems
from gpucost.trouble import Retry, Stop

from gpucost_aggregator.access.access_book import AccessBook
from gpucost_aggregator.access.writers import WriterAccess, WritersParts
from gpucost_aggregator.entrances import file_of_writers, reader_access
from gpucost_aggregator.ingest.price_shelf import PriceShelf
from gpucost_aggregator.ports import try_port
from gpucost_aggregator.replica_settings import LEASE, PEERS
from gpucost_aggregator.replicas import lease_object_of, peer_access
from gpucost_aggregator.settings import DATA_DIR, GRPC_LISTEN, HTTP_LISTEN, Settings
from gpucost_aggregator.store.duckdb_opening import StoreOptions, look_at_store

EXIT_UNANSWERED = 1
"""It would run, and something that it asks does not answer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried: whether it works, and what follows. *exit_code* is not 0 where `run` would end."""

    what: str
    works: bool
    words: str
    exit_code: int = 0

    def __str__(self) -> str:
        return f"{'ok' if self.works else 'NO':3} {self.what:14} {self.words}"


def check(settings: Settings) -> Iterator[Finding]:
    """Everything that a start needs, in the order in which it is needed, tried once."""
    for what, attempt in _attempts(settings).items():
        try:
            yield Finding(what, True, attempt())
        except Stop as trouble:
            yield Finding(what, False, str(trouble), trouble.exit_code)


def _attempts(settings: Settings) -> dict[str, Callable[[], str]]:
    return {
        "tls": lambda: _tls(settings),
        "writers": lambda: _writers(settings),
        "readers": lambda: _readers(settings),
        "prices": lambda: _prices(settings),
        PEERS.name: lambda: _peers(settings),
        LEASE.name: lambda: _lease(settings),
        GRPC_LISTEN.name: lambda: _listen(
            GRPC_LISTEN.flag, settings.grpc_listen, encrypted=settings.tls is not None
        ),
        HTTP_LISTEN.name: lambda: _listen(HTTP_LISTEN.flag, settings.http_listen, encrypted=False),
        DATA_DIR.name: lambda: _store(settings),
    }


def _store(settings: Settings) -> str:
    options = StoreOptions(settings.memory_limit_bytes, settings.threads)
    state = look_at_store(settings.data_dir, options)
    if state.identity is None:
        return f"{state.path} would be made, with schema version {state.schema_version}"
    return f"{state.path} has schema version {state.schema_version}, store {state.identity.store_id}"


def _tls(settings: Settings) -> str:
    if settings.tls is None:
        return "off"
    read_pems(settings.tls.ca, settings.tls.cert, settings.tls.key)
    return "on, and agents have to show a certificate" if settings.tls.ca else "on"


def _writers(settings: Settings) -> str:
    log = logger("gpucost-aggregator")
    file = file_of_writers(settings, log)
    access = WriterAccess(WritersParts(AccessBook(settings.data_dir), settings.access.asks_writers, file))
    access.close()
    return (
        "are asked who they are"
        if access.is_asked
        else "are not asked who they are until the first cluster joins"
    )


def _readers(settings: Settings) -> str:
    access = reader_access(settings, logger("gpucost-aggregator"))
    file = access.file()
    if file is not None and file.review is not None:
        return f"are asked who they are, and Kubernetes what they may see of {file.review.cluster}"
    return "are asked who they are" if access.is_asked else "are not asked who they are"


def _peers(settings: Settings) -> str:
    access = peer_access(settings.replicas)
    if not access.is_served:
        return "no other aggregators"
    named = ", ".join(map(str, settings.replicas.peers))
    return (
        f"{named}, {'with a token' if access.tokens.file else 'without a token, as they are on this machine'}"
    )


def _lease(settings: Settings) -> str:
    if settings.replicas.lease is None:
        return "whoever has the store open does what only one may"
    try:
        found = lease_object_of(settings.replicas).read()
    except Retry as trouble:
        raise Stop(f"{LEASE.flag} {settings.replicas.lease}: {trouble}", EXIT_UNANSWERED) from None
    whose = "would be made" if found is None else f"is held by {found.holder or 'nobody'}"
    return f"{settings.replicas.lease} {whose}"


def _prices(settings: Settings) -> str:
    shelved = PriceShelf(settings.data_dir).current
    if shelved is None:
        return "no price book is set: each agent goes by its own, or by the catalogue alone"
    return f"agents without a price book of their own go by version {shelved.fleet.version}"


def _listen(flag: str, address: HostPort, *, encrypted: bool) -> str:
    try_port(flag, address)
    return f"would listen on {address}, {'TLS' if encrypted else 'plain text'}"
