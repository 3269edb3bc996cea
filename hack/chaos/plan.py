"""Which fault happens when and to whom, by the seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from chaos.faults.fault import Fault
from chaos.faults.kills import KILLS
from chaos.faults.losses import LOSSES
from chaos.faults.surroundings import SURROUNDINGS
from chaos.wish import Wish
from demo.wish import WrongWish
from proofs.proof import CI, FULL

KINDS: dict[str, type[Fault]] = {each.kind: each for each in (*KILLS, *SURROUNDINGS, *LOSSES)}

IN_CI = (
    *("kill_agent_during_send", "kill_agent_during_close", "kill_agent_during_commit"),
    *("kill_aggregator_during_commit", "proxy_cut", "proxy_duplicated", "proxy_truncated", "proxy_delayed"),
    *("agent_disk_full", "clock_forward_seconds", "token_expired"),
)
"""What a minute has time for."""

_ONCE = {"backup_restored": (0.1, 0.2), "spool_cloned": (0.45, 0.6), "node_deleted": (0.8, 0.85)}
"""Parts of the run: a store that is restored is filled again before anything is gone for good."""

_FIRST_S, _EVERY_S = 12.0, 9.0
_LAST_S = {FULL: 60.0, CI: 22.0}
"""The last one begins so long before the end, as it needs time to hit."""

_TOGETHER = 0.3
"""So often one begins together with the one before."""

_LASTS_S = (2.0, 8.0)


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault; *agent* is its place among the agents."""

    at_s: float
    kind: str
    agent: int
    lasts_s: float


def kinds_of(wish: Wish) -> tuple[str, ...]:
    """What happens in a run. Raises WrongWish."""
    if unknown := set(wish.only) - set(KINDS):
        raise WrongWish(f"FAULTS: {', '.join(sorted(unknown))} is none of {', '.join(KINDS)}")
    return wish.only or (IN_CI if wish.form == CI else tuple(KINDS))


def draw(wish: Wish, agents: int, clusters: Sequence[int]) -> list[Planned]:
    """
    The faults of a run, by their time; *clusters* is for each agent the number of its cluster.

    The last agent of the first cluster is the one whose node is deleted; clocks are stepped in the last cluster.
    """
    random, kinds = Random(f"{wish.seed} plan"), kinds_of(wish)
    leaving = max(place for place in range(agents) if clusters[place] == clusters[0])
    stepped = max(place for place in range(agents) if clusters[place] == clusters[-1])
    last_s = wish.length_s - _LAST_S[wish.form]
    found = []
    for kind in kinds:
        if kind in _ONCE:
            first, last = _ONCE[kind]
            at_s = random.uniform(first, last) * wish.length_s
            agent = leaving if kind == "node_deleted" else random.randrange(agents)
            if kind == "spool_cloned" and agent == leaving:
                agent = 0 if leaving else agents - 1
            found.append(Planned(round(at_s, 3), kind, agent, _length(random)))
    often = [kind for kind in kinds if kind not in _ONCE]
    for at_s, kind in zip(_times(random, last_s, len(often)), _turns(random, often), strict=False):
        agent = stepped if kind.startswith("clock") else random.randrange(agents)
        found.append(Planned(at_s, kind, agent, _length(random)))
    return sorted(found, key=lambda each: each.at_s)


def _times(random: Random, last_s: float, at_least: int) -> Iterator[float]:
    """Of as many faults as the time has room for, and of each kind at least one."""
    count = max(at_least, int((last_s - _FIRST_S) / _EVERY_S * (1 + _TOGETHER)))
    singles = max(1, round(count * (1 - _TOGETHER)))
    pace, at_s = (last_s - _FIRST_S) / singles, _FIRST_S
    for number in range(count):
        if number and random.random() >= _TOGETHER:
            at_s = min(last_s, at_s + random.uniform(0.5, 1.5) * pace)
        yield round(at_s, 3)


def _turns(random: Random, kinds: Sequence[str]) -> Iterator[str]:
    """All kinds in a drawn order, again and again."""
    while kinds:
        yield from random.sample(kinds, len(kinds))


def _length(random: Random) -> float:
    return round(random.uniform(*_LASTS_S), 3)
