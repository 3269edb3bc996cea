"""
What the aggregator remembers of who may write: hashes of tokens, and which cluster a name belongs to.

One small file, ``access.json`` in the data directory, for its owner alone; each change replaces it as a whole.
"""

import re
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gpucost.trouble import Reject

from gpucost_aggregator.access.refusal import Refused, Why
from gpucost_aggregator.access.tokens import StaticToken, id_of, make_token, matches
from gpucost_aggregator.kept_file import KeptFile

FILE_NAME = "access.json"
VERSION = 1
MOST_TOKENS = 10
"""Valid tokens of one cluster: enough to change them one after the other."""

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Binding:
    """The UID of the kube-system namespace of the cluster that has a name, and since when it has it."""

    uid: str
    since_ns: int


@dataclass(frozen=True, slots=True)
class _Facts:
    tokens: Mapping[str, StaticToken] = field(default_factory=dict)
    bindings: Mapping[str, Binding] = field(default_factory=dict)
    has_joined: bool = False


class AccessBook:
    """
    The facts in *folder*; every method may be called from any thread.

    Those that change something block on the disk, and raise Retry where it does not take the change: then nothing
    has changed.
    """

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            Stop: The file is there and can not be read (exit codes 4 and 5).
        """
        self._file = KeptFile(folder / FILE_NAME, "without it every cluster has to join anew")
        self._changing = threading.Lock()
        self._facts = self._file.read(_facts) or _Facts()

    @property
    def has_joined(self) -> bool:
        """Whether any cluster ever joined by a token: taking away the last one does not open the door."""
        return self._facts.has_joined

    @property
    def has_tokens(self) -> bool:
        """Whether there is any valid token."""
        return bool(self._facts.tokens)

    def token(self, token: str) -> StaticToken | None:
        """The entry of *token*; None if it is none of ours, or no more."""
        entry = self._facts.tokens.get(id_of(token))
        return entry if entry is not None and matches(token, entry.sha256) else None

    def tokens_of(self, cluster: str) -> list[StaticToken]:
        """All tokens that may write *cluster*, the oldest first."""
        mine = [entry for entry in self._facts.tokens.values() if entry.cluster == cluster]
        return sorted(mine, key=lambda entry: (entry.made_at_ns, entry.token_id))

    def join(self, cluster: str, now_ns: int) -> tuple[str, StaticToken]:
        """
        A new token for *cluster*; the ones before stay valid. The token itself is kept nowhere.

        Raises:
            Reject: The cluster has as many as it can have.
        """
        with self._changing:
            if len(self.tokens_of(cluster)) >= MOST_TOKENS:
                raise Reject(
                    f"{cluster} has {MOST_TOKENS} valid tokens: take some away with "
                    f"`gpucost-aggregator join {cluster} --revoke ID`"
                )
            token, entry = make_token(cluster, now_ns)
            self._keep(
                replace(self._facts, tokens={**self._facts.tokens, entry.token_id: entry}, has_joined=True)
            )
        return token, entry

    def revoke(self, cluster: str, token_id: str) -> StaticToken:
        """
        Token *token_id* of *cluster* is valid no more.

        Raises:
            Reject: There is none such.
        """
        with self._changing:
            entry = self._facts.tokens.get(token_id)
            if entry is None or entry.cluster != cluster:
                have = ", ".join(each.token_id for each in self.tokens_of(cluster)) or "it has none"
                raise Reject(f"cluster {cluster} has no token {token_id!r}: {have}")
            left = {key: each for key, each in self._facts.tokens.items() if key != token_id}
            self._keep(replace(self._facts, tokens=left))
        return entry

    def bound(self, cluster: str) -> Binding | None:
        """What the name *cluster* is bound to."""
        return self._facts.bindings.get(cluster)

    def bind(self, cluster: str, uid: str, now_ns: int) -> bool:
        """
        See that the name *cluster* belongs to *uid*; at first sight it does from now on, and True says so.

        Raises:
            Refused: The name belongs to another one.
        """
        with self._changing:
            known = self._facts.bindings.get(cluster)
            if known is None:
                bindings = {**self._facts.bindings, cluster: Binding(uid, now_ns)}
                self._keep(replace(self._facts, bindings=bindings))
                return True
        if known.uid != uid:
            raise Refused(
                Why.OTHER_CLUSTER,
                f"the name {cluster} belongs to the cluster whose kube-system namespace has the UID {known.uid}, and "
                f"yours has {uid}: give this cluster its own --cluster; if it was made anew under its old name, run "
                f"`gpucost-aggregator join {cluster} --unbind` where the aggregator runs",
            )
        return False

    def unbind(self, cluster: str) -> Binding:
        """
        Forget which cluster has this name; the next one that says it has it.

        Raises:
            Reject: The name is bound to none.
        """
        with self._changing:
            known = self._facts.bindings.get(cluster)
            if known is None:
                raise Reject(f"the name {cluster} is bound to no cluster")
            left = {name: each for name, each in self._facts.bindings.items() if name != cluster}
            self._keep(replace(self._facts, bindings=left))
        return known

    def _keep(self, facts: _Facts) -> None:
        self._file.write(_body(facts))
        self._facts = facts


def _body(facts: _Facts) -> dict[str, Any]:
    return {
        "version": VERSION,
        "has_joined": facts.has_joined,
        "tokens": [asdict(entry) for entry in facts.tokens.values()],
        "clusters": {name: asdict(binding) for name, binding in facts.bindings.items()},
    }


def _facts(body: Any) -> _Facts:
    if body["version"] != VERSION:
        raise ValueError(f"version {body['version']}")
    tokens = [StaticToken(**entry) for entry in body["tokens"]]
    for entry in tokens:
        if not (_HASH.fullmatch(entry.sha256) and entry.token_id and entry.cluster):
            raise ValueError("an entry is no token's")
    bindings = {str(name): Binding(**each) for name, each in body["clusters"].items()}
    return _Facts({entry.token_id: entry for entry in tokens}, bindings, bool(body["has_joined"]))
