"""Who may come in, from the settings: built by the program, tried by `check`."""

from collections.abc import Callable

from gpucost.clock import Clock
from gpucost.trouble import EXIT_SETTINGS, Stop
from structlog.typing import FilteringBoundLogger

from gpucost_aggregator.access.kube_rights import KubeRights
from gpucost_aggregator.access.readers import Proxy, ReaderAccess
from gpucost_aggregator.access.readers_file import parse_readers
from gpucost_aggregator.access.refusal import Refused
from gpucost_aggregator.access.telling import Telling
from gpucost_aggregator.access.watched_file import WatchedFile
from gpucost_aggregator.access.writers import WriterAccess
from gpucost_aggregator.access.writers_file import Writers, parse_writers
from gpucost_aggregator.ingest.counts import Counts
from gpucost_aggregator.settings import READERS_FILE, WRITERS_FILE, Settings


def file_of_writers(settings: Settings, log: FilteringBoundLogger) -> Callable[[], Writers]:
    """
    What the file of writers says now; nothing where there is none.

    Raises:
        Stop: It is there and wrong.
    """
    file = settings.access.writers_file
    if file is None:
        return Writers
    return WatchedFile(
        WRITERS_FILE.flag,
        file,
        parse_writers,
        lambda reason: log.error("writers_file_not_taken", reason=reason),
    ).value


def reader_access(
    settings: Settings, log: FilteringBoundLogger, on_failed: Callable[[str], None] = lambda _: None
) -> ReaderAccess:
    """
    Who reads; *on_failed* hears why the API server could not be asked what somebody may see.

    Raises:
        Stop: The file of readers is wrong, or nobody could come by what it says.
    """
    access = settings.access
    proxy = Proxy(access.proxies, access.identity_header, access.groups_header)
    if access.readers_file is None:
        return ReaderAccess(proxy=proxy)
    watched = WatchedFile(
        READERS_FILE.flag,
        access.readers_file,
        parse_readers,
        lambda reason: log.error("readers_file_not_taken", reason=reason),
    )
    if watched.value().review is not None and not access.proxies:
        raise Stop(
            f"{READERS_FILE.flag} {access.readers_file}: `review` is about whom a proxy names: set --trusted-proxies",
            EXIT_SETTINGS,
        )
    return ReaderAccess(watched.value, proxy, KubeRights(on_failed=on_failed))


def tell_failed_reviews(counts: Counts, clock: Clock, log: FilteringBoundLogger) -> Callable[[str], None]:
    """Counts requests whose reader's rights could not be found out, and tells of them unless very many are."""
    telling = Telling()

    def tell(trouble: str) -> None:
        counts.reviews_failed += 1
        if telling.may_tell(clock.now().monotonic_ns):
            log.error("access_review_failed", trouble=trouble)

    return tell


def tell_refused_readers(
    counts: Counts, clock: Clock, log: FilteringBoundLogger
) -> Callable[[Refused, str], None]:
    """Counts readers who are refused, and tells of them unless very many are."""
    telling = Telling()

    def tell(trouble: Refused, peer: str) -> None:
        counts.readers_refused += 1
        if telling.may_tell(clock.now().monotonic_ns):
            log.warning("reader_refused", peer=peer, detail=trouble.detail)

    return tell


def tell_what_is_open(
    settings: Settings, writers: WriterAccess, readers: ReaderAccess, log: FilteringBoundLogger
) -> None:
    """Say once at the start what somebody outside could do, or what nobody can yet."""
    if not settings.grpc_listen.is_loopback and not writers.is_asked:
        log.warning(
            "writers_not_asked",
            what="whoever reaches --grpc-listen may write every cluster, until the first one joins",
        )
    if not settings.http_listen.is_loopback and not readers.is_asked:
        log.warning(
            "readers_not_asked",
            what="whoever reaches --http-listen may read everything: set --readers-file or --trusted-proxies",
        )
    if writers.is_asked and writers.knows_nobody and (settings.tls is None or settings.tls.ca is None):
        log.warning(
            "nobody_may_write", what="no cluster has joined: run `gpucost-aggregator join CLUSTER` here"
        )
