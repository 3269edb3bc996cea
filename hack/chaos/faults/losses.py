"""What is not there any more, or there twice: a node with its disk, a store, a spool, a token."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

from chaos.faults.fault import Fault, SharedFault, Steps, pause, until
from chaos.faults.kills import AGGREGATOR
from chaos.wish import WINDOW_S

ON_DISK_ALONE_NS = 10 * 10**9 + WINDOW_S * 10**9 // 2
"""A closed window waits 10 s for end times, and up to half a window for its turn to be sent."""

_TOKEN_S = 8
_STREAMS_S = 75.0
"""An agent comes back within its longest pause."""


class NodeDeleted(Fault):
    """The machine is gone, its disk with it, and so is its object in the cluster."""

    kind = "node_deleted"

    @property
    def needs(self) -> frozenset[str]:
        return self.of("process", "network", "disk")

    def fire(self) -> Steps:
        self.agent.is_gone = self.agent.held = True
        self.agent.kill()
        at_ns = self.agent.killed_at_ns or time.time_ns()
        self.stage.command(self.agent.cluster, do="node_delete", node=self.agent.node)
        shutil.rmtree(self.agent.spool)
        for uuid in self.agent.gpus:
            self.stage.book.deaths[uuid] = at_ns
        # With the disk goes what was on it alone.
        self.stage.book.begin(self.agent.gpus, self.kind, at_ns - ON_DISK_ALONE_NS)
        self.fired = True
        yield


def _is_answered(path: Path) -> bool:
    """Whether somebody listens at a socket; one that was killed leaves its file."""
    with socket.socket(socket.AF_UNIX) as ours:
        try:
            ours.connect(str(path))
        except OSError:
            return False
    return True


class BackupRestored(SharedFault):
    """A backup is made; some windows later the store is lost, and the backup takes its place."""

    kind = "backup_restored"

    @property
    def needs(self) -> frozenset[str]:
        # What a spool whose disk failed has in memory alone is forgotten when it is acknowledged.
        return AGGREGATOR | {f"disk of {place.name}" for place in self.stage.agents.values()}

    def fire(self) -> Steps:
        stage, place = self.stage, self.stage.aggregator
        copy = stage.folder / f"backup-{time.time_ns()}"
        if not (yield from until(lambda: place.runs and _is_answered(stage.data / "admin.sock"))):
            return
        backup = stage.operate("backup", "backup", str(copy))
        yield from until(lambda: backup.exit_code() is not None)
        if backup.exit_code() != 0:
            stage.book.ends.append(str(backup.trouble("did not make a backup")))
            return
        yield from pause(4 * self.lasts_s)
        place.held = True
        place.kill()
        stage.data.rename(stage.folder / f"lost-{time.time_ns()}")
        stage.data.mkdir()
        restore = stage.operate("restore", "restore", str(copy))
        yield from until(lambda: restore.exit_code() is not None)
        self.fired = restore.exit_code() == 0
        if not self.fired:
            stage.book.ends.append(str(restore.trouble("did not restore")))
        place.held = False
        yield from until(lambda: place.runs)


class SpoolCloned(Fault):
    """A node's disk comes back as it was some windows ago, as from a snapshot."""

    kind = "spool_cloned"

    @property
    def needs(self) -> frozenset[str]:
        return self.of("process", "disk", "network")

    def fire(self) -> Steps:
        place, clone = self.agent, self.stage.folder / f"clone-{time.time_ns()}"
        if not (yield from until(lambda: place.runs and not place.unread)):
            return
        place.kill()
        shutil.copytree(place.spool, clone)
        yield from until(lambda: place.runs and not place.unread)
        yield from pause(4 * self.lasts_s)
        if not place.runs:
            return
        # With the spool that was in its place goes what was on it alone.
        place.alone_since_ns = time.time_ns() - ON_DISK_ALONE_NS
        place.kill()
        shutil.rmtree(place.spool)
        clone.rename(place.spool)
        self.fired = True
        yield from until(lambda: place.runs and not place.unread)
        place.alone_since_ns = None


class TokenExpired(Fault):
    """A stream's token ends while the stream stands, and the file holds no other for a moment."""

    kind = "token_expired"

    @property
    def needs(self) -> frozenset[str]:
        return self.of("network")

    def fire(self) -> Steps:
        stage, place = self.stage, self.agent
        offset = stage.aggregator.log_size
        stage.identities.renew(place.cluster, place.node, _TOKEN_S)
        stage.proxy.ask(place, "cut")
        self.fired = yield from until(lambda: self._has_ended(offset), _STREAMS_S)
        yield from pause(self.lasts_s)
        stage.identities.renew(place.cluster, place.node)

    def _has_ended(self, offset: int) -> bool:
        return any(
            "the token of this stream has reached its end" in line and f'"{self.agent.node}"' in line
            for line in self.stage.aggregator.said(offset).splitlines()
        )


LOSSES: tuple[type[Fault], ...] = (NodeDeleted, BackupRestored, SpoolCloned, TokenExpired)
