"""What all aggregators' nodes look like now: each other one is asked, once for all who read at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from gpucost.clock import Clock
from gpucost.peers_wire import ToldGlimpses, glimpses_from_bytes
from gpucost.settings_source import HostPort
from gpucost.trouble import Reject, Retry
from gpucost.units import NS_PER_SECOND
from structlog.typing import FilteringBoundLogger

from gpucost_aggregator.live.board import MOST_BYTES, MOST_BYTES_IN_ALL, Glimpse
from gpucost_aggregator.peers.calling import ANSWER_S, MOST_AT_ONCE, Question
from gpucost_aggregator.peers.counts import PeerCounts, Unanswered, Why
from gpucost_aggregator.peers.names import LookUp, Names, look_up

KEPT_NS = 1 * NS_PER_SECOND
"""For so long an answer serves all who read; nodes tell something new every eight seconds at most."""


@dataclass(frozen=True, slots=True)
class Told:
    """
    What others told, by this program's clocks.

    *answered* others did, *silent* ones did not, by their addresses. *interval_ns* is the shortest at which any of
    their nodes tells, None without an answer. *unreadable* glimpses were left out.
    """

    glimpses: tuple[Glimpse, ...] = ()
    answered: int = 0
    silent: tuple[str, ...] = ()
    interval_ns: int | None = None
    unreadable: int = 0


NOBODY = Told()
"""Where there are no others."""


@dataclass(frozen=True, slots=True)
class PeersParts:
    """
    What it is made of. *named* are the others as the settings name them, *replica* is this process.

    *token* is what is shown to them, empty for nothing; it raises ``Retry`` where it can not be read. *ask* raises
    ``Unanswered``. *readers* is where answers are read, as a big one takes a while.
    """

    named: tuple[HostPort, ...]
    replica: str
    token: Callable[[], str]
    ask: Callable[[HostPort, Question], Awaitable[bytes]]
    readers: Executor
    clock: Clock
    counts: PeerCounts
    log: FilteringBoundLogger
    look_up: LookUp = look_up
    look_up_s: float = ANSWER_S


@dataclass(frozen=True, slots=True)
class _Heard:
    """What one aggregator told, and when it was asked: no glimpse of it is younger than its age since then."""

    told: ToldGlimpses
    asked_ns: int


_Answer = _Heard | Unanswered
_Answers = dict[HostPort, _Answer]


class Peers:
    """Asks nobody before somebody reads; lives on the event loop."""

    def __init__(self, parts: PeersParts) -> None:
        self._parts = parts
        self._names = Names(parts.look_up)
        self._asking: asyncio.Task[Told] | None = None
        self._last, self._last_ns = NOBODY, 0
        self._silent: dict[HostPort, Why] = {}
        self._own: set[HostPort] = set()

    async def told(self) -> Told:
        """What the others tell now, or told within the last second. Raises nothing: who does not answer is named."""
        if self._last is not NOBODY and self._now_ns() - self._last_ns < KEPT_NS:
            return self._last
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all())
        # Whoever goes away leaves the others their answer.
        return await asyncio.shield(self._asking)

    async def close(self) -> None:
        """Ask nobody any more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        await self._names.close()

    async def _ask_all(self) -> Told:
        try:
            named = self._parts.named
            found = await asyncio.gather(*(self._addresses(name) for name in named))
            addresses = list(
                dict.fromkeys(each for group in found if isinstance(group, tuple) for each in group)
            )
            asked = await self._answers(addresses[:MOST_AT_ONCE])
            answers: _Answers = {}
            for name, group in zip(named, found, strict=True):
                answers |= {name: group} if isinstance(group, Unanswered) else _of_one_kind(group, asked)
            answers = self._of_others(answers)
            self._tell(answers)
            self._last, self._last_ns = self._together(answers), self._now_ns()
            return self._last
        finally:
            self._asking = None

    async def _addresses(self, named: HostPort) -> tuple[HostPort, ...] | Unanswered:
        try:
            return await self._names.addresses(named, self._parts.look_up_s)
        except Unanswered as trouble:
            return trouble

    async def _answers(self, addresses: Sequence[HostPort]) -> _Answers:
        try:
            token = self._parts.token()
        except Retry as trouble:
            return dict.fromkeys(addresses, Unanswered(Why.REFUSED, str(trouble)))
        # All of them together take no more memory than the board here may.
        question = Question(self._parts.replica, token, MOST_BYTES_IN_ALL // max(1, len(addresses)))
        answers = await asyncio.gather(*(self._ask(address, question) for address in addresses))
        return dict(zip(addresses, answers, strict=True))

    async def _ask(self, address: HostPort, question: Question) -> _Answer:
        asked_ns = self._now_ns()
        self._parts.counts.calls += 1
        try:
            body = await self._parts.ask(address, question)
            read = asyncio.get_running_loop().run_in_executor(self._parts.readers, glimpses_from_bytes, body)
            return _Heard(await read, asked_ns)
        except Unanswered as trouble:
            return trouble
        except Reject as trouble:
            return Unanswered(Why.UNREADABLE, str(trouble))

    def _of_others(self, answers: _Answers) -> _Answers:
        """Without this program itself, which stands behind one of the addresses of a headless Service."""
        for address, answer in answers.items():
            if isinstance(answer, _Heard):
                self._own.discard(address)
                if answer.told.replica == self._parts.replica:
                    self._own.add(address)
        return {address: answer for address, answer in answers.items() if address not in self._own}

    def _together(self, answers: _Answers) -> Told:
        heard = {each.told.replica: each for each in answers.values() if isinstance(each, _Heard)}
        silent = tuple(str(address) for address, each in answers.items() if isinstance(each, Unanswered))
        glimpses = [
            Glimpse(each.node, each.table, each.taken_at_ns, one.asked_ns - each.age_ns)
            for one in heard.values()
            for each in one.told.glimpses
            if len(each.table) <= MOST_BYTES
        ]
        left_out = sum(len(one.told.glimpses) + one.told.unreadable for one in heard.values()) - len(glimpses)
        intervals = [one.told.interval_ns for one in heard.values()]
        counts = self._parts.counts
        counts.others, counts.silent = len(heard) + len(silent), len(silent)
        return Told(tuple(glimpses), len(heard), silent, min(intervals, default=None), left_out)

    def _tell(self, answers: _Answers) -> None:
        """Who has fallen silent, or answers again: once, and not at each question."""
        silent = {address: each for address, each in answers.items() if isinstance(each, Unanswered)}
        for address, trouble in silent.items():
            self._parts.counts.failed[trouble.why] += 1
            if self._silent.get(address) is not trouble.why:
                self._parts.log.warning(
                    "peer_silent", peer=str(address), why=trouble.why.value, detail=str(trouble)
                )
        for address in self._silent.keys() - silent.keys():
            if address in answers:
                self._parts.log.info("peer_answers", peer=str(address))
        self._silent = {address: trouble.why for address, trouble in silent.items()}

    def _now_ns(self) -> int:
        return self._parts.clock.now().monotonic_ns


def _of_one_kind(addresses: Sequence[HostPort], asked: _Answers) -> _Answers:
    """
    The answers of *addresses* of one name. With IPv4 and IPv6 it stands for each aggregator twice, and one may not
    listen on both: what counts are the addresses of the kind of which more answer.
    """
    kinds: dict[bool, _Answers] = {}
    too_many = Unanswered(Why.UNREACHABLE, f"there are more than {MOST_AT_ONCE} addresses")
    for address in addresses:
        kinds.setdefault(":" in address.host, {})[address] = asked.get(address, too_many)
    return max(kinds.values(), key=lambda kind: sum(isinstance(each, _Heard) for each in kind.values()))
