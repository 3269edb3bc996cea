"""The command `check`: what `run` would do, and what would keep it from it. Changes nothing."""

from collections.abc import Callable

from gpucost.settings_source import HostPort
from gpucost.tls import read_pems
from gpucost.trouble import Stop

from gpucost_aggregator.ports import try_port
from gpucost_aggregator.settings import GRPC_LISTEN, HTTP_LISTEN, Settings
from gpucost_aggregator.store.duckdb_opening import StoreOptions, look_at_store


def check(settings: Settings) -> tuple[list[str], int]:
    """One line a thing that was tried, and the exit code of the first that would not work; 0 if all would."""
    lines, code = [], 0
    for subject, attempt in _attempts(settings).items():
        try:
            lines.append(f"{subject}: {attempt()}")
        except Stop as trouble:
            lines.append(f"{subject}: NOT OK: {trouble}")
            code = code or trouble.exit_code
    return lines, code


def _attempts(settings: Settings) -> dict[str, Callable[[], str]]:
    return {
        "store": lambda: _store(settings),
        "TLS": lambda: _tls(settings),
        "gRPC": lambda: _listen(GRPC_LISTEN.flag, settings.grpc_listen, encrypted=settings.tls is not None),
        "HTTP": lambda: _listen(HTTP_LISTEN.flag, settings.http_listen, encrypted=False),
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


def _listen(flag: str, address: HostPort, *, encrypted: bool) -> str:
    try_port(flag, address)
    return f"would listen on {address}, {'TLS' if encrypted else 'plain text'}"
