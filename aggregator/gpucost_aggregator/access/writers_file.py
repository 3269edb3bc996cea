"""The file of --writers-file: which certificates and service accounts write which clusters. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gpucost.yaml_marks import Block, as_block

from gpucost_aggregator.access.yaml_words import blocks_at, needed_at, text_at, texts_at

DEFAULT_AUDIENCE = "gpucost"
"""What a token has to be made for, so that one made for the API server opens nothing here."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """
    Service accounts, as ``namespace:name``, that write *cluster*: as agents of nodes, or as its watcher.

    *audience* is what their tokens are made for.
    """

    cluster: str
    agents: frozenset[str]
    watchers: frozenset[str] = frozenset()
    audience: str = DEFAULT_AUDIENCE


@dataclass(frozen=True, slots=True)
class Issuer:
    """
    A cluster that makes tokens: its name in them, and where its public keys are, a file or an https address.

    *ca* is a file with the authority of that address; empty is the system's.
    """

    issuer: str
    keys: str
    accounts: Accounts
    ca: str = ""


@dataclass(frozen=True, slots=True)
class Writers:
    """
    What the file says. *certificates* are names with the clusters that they write; *review* are the accounts whose
    tokens the aggregator's own API server is asked about.
    """

    certificates: Mapping[str, frozenset[str]] = field(default_factory=dict)
    issuers: tuple[Issuer, ...] = ()
    review: Accounts | None = None


_ACCOUNT_KEYS = ("cluster", "agents", "watchers", "audience")


def parse_writers(file: Block) -> Writers:
    """
    What *file* says.

    Raises:
        Reject: Something is unknown, missing, or no value; the text names the place.
    """
    file.refuse_unknown(("certificates", "issuers", "review"), "the file of writers")
    certificates: dict[str, frozenset[str]] = {}
    for block in blocks_at(file, "certificates"):
        block.refuse_unknown(("name", "clusters"), "a certificate")
        name = needed_at(block, "name", "a common name or alternative name of the certificate")
        if name in certificates:
            raise block.mark.reject(f"{name} is there already: keep one")
        certificates[name] = frozenset(texts_at(block, "clusters"))
        if not certificates[name]:
            raise block.mark.reject("`clusters` is missing: the clusters that it may write")
    review = file.get("review")
    return Writers(
        certificates,
        tuple(_issuer(block) for block in blocks_at(file, "issuers")),
        _accounts(as_block(review, "review"), _ACCOUNT_KEYS) if review is not None else None,
    )


def _issuer(block: Block) -> Issuer:
    accounts = _accounts(block, (*_ACCOUNT_KEYS, "issuer", "keys", "ca"))
    keys = needed_at(block, "keys", "a file with the issuer's JWKS, or its https address")
    if "://" in keys and not keys.lower().startswith("https://"):
        scheme = keys.partition("://")[0]
        raise block.mark.reject(f"keys over {scheme} may be anybody's: give an https address or a file")
    return Issuer(needed_at(block, "issuer", "`iss` of its tokens"), keys, accounts, text_at(block, "ca"))


def _accounts(block: Block, known: tuple[str, ...]) -> Accounts:
    block.refuse_unknown(known, "service accounts")
    agents, watchers = (frozenset(texts_at(block, key)) for key in ("agents", "watchers"))
    if not agents | watchers:
        raise block.mark.reject("`agents` is missing: service accounts as namespace:name")
    for account in sorted(agents | watchers):
        namespace, colon, name = account.partition(":")
        if not (namespace and colon and name) or ":" in name:
            raise block.mark.reject(f"{account!r} is no service account: write namespace:name")
    return Accounts(
        needed_at(block, "cluster", "the cluster that these service accounts write"),
        agents,
        watchers,
        text_at(block, "audience") or DEFAULT_AUDIENCE,
    )
