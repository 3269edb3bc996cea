"""
The file of --readers-file: tokens and identities of readers, and what each of them may see. Pure.

Whom it does not name, Kubernetes may be asked about, where it says so.
"""

import re
from dataclasses import dataclass

from gpucost.yaml_marks import Block, as_block

from gpucost_aggregator.access.kube_user import OWN_PREFIX, Naming
from gpucost_aggregator.access.reader import Reader
from gpucost_aggregator.access.tokens import fingerprint
from gpucost_aggregator.access.yaml_words import blocks_at, needed_at, text_at, texts_at

SHORTEST_TOKEN = 20
"""Characters; nobody counts how often somebody guesses."""

ANY_IDENTITY = "*"
_HASH = re.compile(r"[0-9a-f]{64}")
_LONGEST_PREFIX = 256


@dataclass(frozen=True, slots=True)
class Entry:
    """One reader, by the SHA-256 of a token, or by the identity that a proxy passes on."""

    reader: Reader
    sha256: str = ""
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Readers:
    """What the file says. *review* is how Kubernetes calls whom no entry names; None where it is not asked."""

    entries: tuple[Entry, ...] = ()
    review: Naming | None = None


def parse_readers(file: Block) -> Readers:
    """
    What *file* says.

    Raises:
        Reject: Something is unknown, missing, or no value; the text names the place and holds no token.
    """
    file.refuse_unknown(("readers", "review"), "the file of readers")
    entries = tuple(_entry(block) for block in blocks_at(file, "readers"))
    review = file.get("review")
    if review is None:
        return Readers(entries)
    block = as_block(review, "review")
    if any(entry.identity == ANY_IDENTITY for entry in entries):
        raise block.mark.reject(
            f"review is about whom no reader names, and the identity {ANY_IDENTITY!r} names everybody: keep one"
        )
    return Readers(entries, _naming(block))


def _naming(block: Block) -> Naming:
    block.refuse_unknown(("cluster", "user_prefix", "group_prefix"), "review")
    for key in ("user_prefix", "group_prefix"):
        prefix = text_at(block, key)
        if prefix.startswith(OWN_PREFIX):
            raise block.mark.reject(f"`{key}` begins with {OWN_PREFIX}, which is for Kubernetes' own names")
        if not prefix.isprintable() or len(prefix) > _LONGEST_PREFIX:
            raise block.mark.reject(
                f"with the `{key}` {prefix[:_LONGEST_PREFIX]!r} nobody has a name: write up to {_LONGEST_PREFIX} signs"
                " that can be seen, as the API server's own flag has them"
            )
    return Naming(
        needed_at(block, "cluster", "the name of the aggregator's own cluster, as its agents say it"),
        text_at(block, "user_prefix"),
        text_at(block, "group_prefix"),
    )


def _entry(block: Block) -> Entry:
    block.refuse_unknown(("name", "token", "token_sha256", "identity", "clusters", "namespaces"), "a reader")
    name = needed_at(block, "name", "how logs call this reader")
    token, sha256, identity = (text_at(block, key) for key in ("token", "token_sha256", "identity"))
    if sum(map(bool, (token, sha256, identity))) != 1:
        raise block.mark.reject(f"reader {name} needs one of `token`, `token_sha256` and `identity`")
    if token and len(token) < SHORTEST_TOKEN:
        raise block.mark.reject(
            f"the token of {name} is too short: take {SHORTEST_TOKEN} characters or more, such as those of "
            "`openssl rand -base64 32`"
        )
    if sha256 and not _HASH.fullmatch(sha256):
        raise block.mark.reject(
            f"token_sha256 of {name} is no SHA-256: write 64 hexadecimal digits in lower case"
        )
    reader = Reader(name, texts_at(block, "clusters"), texts_at(block, "namespaces"))
    return Entry(reader, fingerprint(token) if token else sha256, identity)
