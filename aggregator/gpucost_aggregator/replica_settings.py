"""The knobs of several aggregators: who the others are, what they show each other, and who does what only one may."""

import re
from dataclasses import dataclass
from pathlib import Path

from gpucost.settings_source import HostPort, Loaded, Setting, host_port, path, words

MOST_PEERS = 64
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_LEASE = re.compile(rf"(?P<namespace>{_LABEL})/(?P<name>{_LABEL}(\.{_LABEL})*)")
_LONGEST_NAME = 253


@dataclass(frozen=True, slots=True)
class LeaseName:
    """A Lease of Kubernetes, by its namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """
    *peers* are the other aggregators' HTTP listeners. None for *peers_token_file*: all of them are on this machine,
    and whoever is there reads everything anyway. None for *lease*: who has the store open does what only one may.
    """

    peers: tuple[HostPort, ...] = ()
    peers_token_file: Path | None = None
    lease: LeaseName | None = None


def _peers(value: str) -> tuple[HostPort, ...]:
    found = tuple(host_port(word) for word in words(value))
    for address in found:
        if not address.port:
            raise ValueError(f"{str(address)!r} has no port that anybody listens on: write HOST:PORT")
        if found.count(address) > 1:
            raise ValueError(f"{str(address)!r} stands twice: write each once")
    if len(found) > MOST_PEERS:
        raise ValueError(f"{len(found)} are too many: write {MOST_PEERS} or less, or one name of all of them")
    return found


def _lease(value: str) -> LeaseName:
    found = _LEASE.fullmatch(value)
    if found is None or len(found["name"]) > _LONGEST_NAME:
        raise ValueError(f"{value!r} is no Lease: write NAMESPACE/NAME, for example gpucost/aggregator")
    return LeaseName(found["namespace"], found["name"])


PEERS = Setting[tuple[HostPort, ...]](
    "peers",
    _peers,
    (),
    "HTTP listeners of the other aggregators, as HOST:PORT with commas between them; of a name with several addresses, "
    "such as that of a headless Service, each is one, and its own among them is known. What nodes do now is asked of "
    "them when somebody reads it. None, as most fleets have one aggregator.",
)
PEERS_TOKEN_FILE = Setting[Path | None](
    "peers-token-file",
    path,
    None,
    "File with the token that aggregators show each other, the same for all; of several lines the first is shown, and "
    "each is taken. Read anew for each question. Not set, only others on this machine are asked and answered.",
)
LEASE = Setting[LeaseName | None](
    "lease",
    _lease,
    None,
    "A Lease of Kubernetes as NAMESPACE/NAME: whoever holds it closes the books of nodes that are gone, as only one "
    "may. Not set, it is whoever has the store open, which only one can.",
)
REPLICA_SETTINGS: tuple[Setting[object], ...] = (PEERS, PEERS_TOKEN_FILE, LEASE)


def replica_settings(loaded: Loaded, *, insecure: bool, asks_readers: bool) -> ReplicaSettings:
    """
    What *loaded* says of several aggregators. *asks_readers*: whoever reads is asked who they are.

    Raises:
        Stop: They do not fit each other, or what plain text beyond loopback needs (exit code 2).
    """
    peers, token_file, lease = loaded.value(PEERS), loaded.value(PEERS_TOKEN_FILE), loaded.value(LEASE)
    away = [str(peer) for peer in peers if not peer.is_loopback]
    if away and not insecure:
        raise loaded.stop(
            PEERS.name,
            f"{away[0]} would be asked in plain text beyond loopback: name a proxy with TLS on 127.0.0.1, "
            "or say --insecure",
        )
    if away and token_file is None:
        raise loaded.stop(
            PEERS.name,
            f"{away[0]} is beyond loopback, and nothing tells aggregators from readers there: "
            f"set {PEERS_TOKEN_FILE.flag}",
        )
    if peers and asks_readers and token_file is None:
        raise loaded.stop(
            PEERS.name,
            "readers are asked who they are, and a proxy on this machine would pass for an aggregator: "
            f"set {PEERS_TOKEN_FILE.flag}",
        )
    if token_file is not None and not peers:
        raise loaded.stop(PEERS_TOKEN_FILE.name, f"set without {PEERS.flag}: set both, or neither")
    if lease is not None and peers:
        # Each has a store of its own today, and the books in it are closed by nobody else.
        raise loaded.stop(
            LEASE.name,
            f"set with {PEERS.flag}: those have stores of their own, and where one holds the Lease, the others' "
            "books would stay open; leave it out",
        )
    return ReplicaSettings(peers, token_file, lease)
