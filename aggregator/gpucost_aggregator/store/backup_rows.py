"""What a backup states of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpucost_aggregator.store.rows import AgentId, StoreIdentity


@dataclass(frozen=True, slots=True)
class BackupOrder:
    """
    Where a backup goes, and when it is made.

    *companions* are other files of the data directory that travel inside, by their names.
    """

    target: Path
    at_ns: int
    companions: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Backup:
    """
    A copy of a store as it was in one instant: every batch up to each agent's watermark, and none after it.

    *statement* is the file beside *path* that says the same as JSON. *messages* is the file beside it with the
    messages of malformed batches, and its SHA-256; None where there never was one.
    """

    path: Path
    statement: Path
    identity: StoreIdentity
    made_at_ns: int
    size_bytes: int
    sha256: str
    watermarks: tuple[tuple[AgentId, int], ...]
    messages: Path | None = None
    messages_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """What stands where a backup was restored: *identity* has a generation that no store had before."""

    identity: StoreIdentity
    was: StoreIdentity
    watermarks: tuple[tuple[AgentId, int], ...]
    files: tuple[str, ...]
