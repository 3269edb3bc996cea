"""
HTTP to a Kubernetes API server, by the kubernetes package. Its only importer.

The package's clients build a class for every kind of object there is: 38 MiB of memory where two answers are read as
JSON. What is needed of it is three files, for the way into a cluster, TLS and proxies; they are imported past the
packages around them, which only gather everything else.
"""

import importlib
import importlib.util
import json
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from gpucost.trouble import EXIT_SETTINGS, Stop

IN_CLUSTER = "in-cluster"
_CONNECT_S = 5.0
_ANSWER_S = 30.0
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_PACKAGES = ("kubernetes", "kubernetes.client", "kubernetes.config", "kubernetes.utils")
_SPEAKS = {"Accept": "application/json", "User-Agent": "gpucost-agent"}


class Refused(Exception):
    """The server answered, and not with what was asked for."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status} {words}")
        self.status = status


class Library(NamedTuple):
    """The parts of the kubernetes package that are used."""

    configuration: Any
    rest: Any
    in_cluster: Any


class KubeClient:
    """
    Asks one server. For one thread.

    *server* is a URL or ``in-cluster``, or with *of_kubelet* the URL of a kubelet. Raises Stop if there is no way to
    it: no service account, or no URL.
    """

    def __init__(self, server: str, *, of_kubelet: bool = False) -> None:
        library = load()
        urllib3 = importlib.import_module("urllib3")  # the package's own transport
        self._timeout = urllib3.Timeout
        self.failures: tuple[type[Exception], ...] = (
            Refused,
            urllib3.exceptions.HTTPError,
            OSError,
            ValueError,
            KeyError,
            TypeError,
        )
        """What may go wrong with a question or its answer."""
        # Of a URL, as an account that renews its token also writes the API server's address down again.
        self._host = server.rstrip("/")
        self._configuration = (_configured_for_kubelet if of_kubelet else _configured)(library, server)
        if server == IN_CLUSTER:
            self._host = self._configuration.host
        if not self._configuration.verify_ssl:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._pool: Any = library.rest.RESTClientObject(self._configuration).pool_manager

    def json(self, path: str, query: Mapping[str, str | int] | None = None) -> Any:
        """The answer to one question. Blocks for half a minute at most; raises one of *failures*."""
        response = self._get(path, query or {}, _ANSWER_S)
        try:
            return json.loads(response.read())
        finally:
            response.release_conn()

    @contextmanager
    def lines(self, path: str, query: Mapping[str, str | int], silence_s: float) -> Iterator[Iterator[bytes]]:
        """An answer that comes line by line; silence for so long is a failure. Raises one of *failures*."""
        response = self._get(path, query, silence_s)
        try:
            yield lines(response.stream(amt=None, decode_content=True))
        finally:
            response.close()

    def close(self) -> None:
        """Hangs up."""
        self._pool.clear()

    def _get(self, path: str, query: Mapping[str, str | int], answer_s: float) -> Any:
        headers = dict(_SPEAKS)
        # Asked each time, as tokens of service accounts are renewed on the disk.
        for setting in self._configuration.auth_settings().values():
            headers[setting["key"]] = setting["value"]
        response = self._pool.request(
            "GET",
            f"{self._host}{path}?{urlencode(query)}",
            headers=headers,
            timeout=self._timeout(connect=_CONNECT_S, read=answer_s),
            preload_content=False,
        )
        if response.status == 200:
            return response
        try:
            raise Refused(response.status, _message(response.read()) or response.reason or "")
        finally:
            response.release_conn()


def lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Whole lines of a stream that is cut anywhere; the rest after the last line end is no event."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line.strip())


def load() -> Library:
    """The parts of the package, without the rest of it if that goes: where a release is laid out otherwise, with it."""
    if "kubernetes" not in sys.modules:
        with suppress(ImportError, AttributeError):
            return _load_lightly()
    return _load_all()


def _load_lightly() -> Library:
    """
    Imports the files with empty modules in place of the packages that they lie in.

    None of it stays in sys.modules, so that whoever imports the package later gets all of it.
    """
    found = importlib.util.find_spec("kubernetes")
    if found is None or not found.submodule_search_locations:
        raise ImportError("the kubernetes package is not installed")
    (root, *_) = found.submodule_search_locations
    try:
        for name in _PACKAGES:
            sys.modules[name] = package = types.ModuleType(name)
            package.__path__ = [root + name.removeprefix("kubernetes").replace(".", "/")]
        configuration = importlib.import_module("kubernetes.client.configuration").Configuration
        sys.modules["kubernetes.client"].Configuration = configuration  # type: ignore[attr-defined]
        return Library(
            configuration,
            importlib.import_module("kubernetes.client.rest"),
            importlib.import_module("kubernetes.config.incluster_config"),
        )
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "kubernetes"]:
            del sys.modules[name]


def _load_all() -> Library:
    client = importlib.import_module("kubernetes.client")
    return Library(
        client.Configuration,
        importlib.import_module("kubernetes.client.rest"),
        importlib.import_module("kubernetes.config.incluster_config"),
    )


def _configured(library: Library, server: str) -> Any:
    configuration = library.configuration()
    configuration.retries = 1
    if server == IN_CLUSTER:
        try:
            library.in_cluster.load_incluster_config(client_configuration=configuration)
        except library.in_cluster.ConfigException as error:
            text = f"kube-api is in-cluster, and this is no pod with a service account: {error}"
            raise Stop(text, EXIT_SETTINGS) from error
    elif server.startswith(("http://", "https://")):
        configuration.host = server.rstrip("/")
    else:
        raise Stop(f"kube-api {server!r} is neither a URL nor {IN_CLUSTER}", EXIT_SETTINGS)
    return configuration


def _configured_for_kubelet(library: Library, url: str) -> Any:
    """
    With the service account where there is one, as a kubelet knows the same accounts as its API server.

    Most kubelets sign their own certificates, so none is asked for on the machine's own address, which nobody can
    come between. Elsewhere it has to be the cluster's. Over plain text no token is shown.
    """
    configuration = _configured(library, url)
    if not url.startswith("https://"):
        return configuration
    with suppress(library.in_cluster.ConfigException):
        library.in_cluster.load_incluster_config(client_configuration=configuration)
    configuration.verify_ssl = urlsplit(url).hostname not in _LOOPBACK
    return configuration


def _message(body: bytes) -> str:
    """What a refusal says; the server words it as an object."""
    with suppress(ValueError, AttributeError):
        return str(json.loads(body).get("message") or "")
    return ""


def worded(error: Exception) -> str:
    """A failure in few words."""
    if isinstance(error, Refused):
        return str(error)
    # urllib3 wraps what happened in what it tried; the innermost says it in few words.
    while isinstance(reason := getattr(error, "reason", None), Exception):
        error = reason
    words = str(error).rpartition(": ")[2] or type(error).__name__
    return words.rpartition("] ")[2]
