"""
Use by process as the driver's own accounting integrates it: only where the administrator switched that on.

The driver adds each ring sample to the process that owned it, in hundredths of a percent, and keeps the sums of
processes that ended. So a sum's growth is that process's use, whoever looked when.
"""

from collections.abc import Iterable

from gpucost.clock import Clock, Instant

from gpucost_agent.readings import PPM, ProcessUse, ProcessWindow
from gpucost_agent.sources.driver.driver_calls import Calls, DriverTrouble, RawAccount, Why
from gpucost_agent.sources.driver.look import Look, What, clock_step_ns

_EVERY_NS = 5_000_000_000
"""The sums wait for us, so a look every few seconds is enough; the driver itself adds once a second."""
_ENDED_EVERY_NS = 60_000_000_000
"""A process that ended works no more, but its PID may be used again; the driver remembers a hundred of them."""
_CENTI = 10_000

Key = tuple[int, int]
"""PID and start: PIDs are used again."""


class AccountingReader:
    """Reads the accounting of one GPU, for one thread."""

    def __init__(self, calls: Calls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self._due_ns = 0
        self._read_at: Instant | None = None
        self._known: dict[Key, RawAccount] = {}
        self._ended: dict[int, int] = {}
        self._owed_ns: dict[Key, int] = {}

    def forget(self) -> None:
        """The next look is a first one."""
        self._read_at = None
        self._known.clear()
        self._ended.clear()
        self._owed_ns.clear()

    def read(self, look: Look, period_ns: int | None) -> ProcessWindow | None:
        """Use since the last answer, where it is time for one. *period_ns* is that of the driver's samples."""
        if look.began.monotonic_ns < self._due_ns:
            return None
        self._due_ns = look.began.monotonic_ns + _EVERY_NS
        before = self._read_at
        accounts = look.ask_if_there(What.ACCOUNTING, self._accounts)
        if accounts is None:
            self.forget()
            return None
        now = self._read_at = self._clock.now()
        if before is None or clock_step_ns(before, now) or not period_ns or self._began_anew(accounts):
            self._known.update(_by_key(accounts))
            self._owed_ns.clear()
            return None
        for key, account in _by_key(accounts).items():
            known = self._known.get(key)
            grown = account.centi_sum - (known.centi_sum if known else 0)
            if grown:
                self._owed_ns[key] = self._owed_ns.get(key, 0) + grown * period_ns // _CENTI
            self._known[key] = account
        length_ns = now.wall_ns - before.wall_ns
        return ProcessWindow(
            before.wall_ns, now.wall_ns, max(1, round(length_ns / period_ns)), self._pay(length_ns)
        )

    def _accounts(self) -> list[RawAccount]:
        if not self._calls.accounting_enabled():
            raise DriverTrouble(Why.NOT_SUPPORTED, "accounting is switched off")
        now_ns = self._clock.now().monotonic_ns
        pids = dict.fromkeys(self._calls.accounted_pids())
        self._ended = {pid: due_ns for pid, due_ns in self._ended.items() if pid in pids}
        self._known = {key: account for key, account in self._known.items() if key[0] in pids}
        accounts = []
        for pid in pids:
            if now_ns < self._ended.get(pid, now_ns):
                continue
            try:
                account = self._calls.account(pid)
            except DriverTrouble as trouble:
                if trouble.why is Why.NOTHING:
                    continue
                raise
            if not account.running:
                self._ended[pid] = now_ns + _ENDED_EVERY_NS
            accounts.append(account)
        return accounts

    def _began_anew(self, accounts: Iterable[RawAccount]) -> bool:
        """Whether a sum went back: the driver was loaded again, or somebody cleared its accounts."""
        return any(
            account.sample_count < known.sample_count or account.centi_sum < known.centi_sum
            for account in accounts
            if (known := self._known.get((account.pid, account.started_us)))
        )

    def _pay(self, length_ns: int) -> tuple[ProcessUse, ...]:
        """
        What is owed, as shares of the window; no more than the whole of it, the rest in the next one.

        The driver adds up once a second, so a window may hold a second more than it is long.
        """
        owed_ns = sum(self._owed_ns.values())
        shares: dict[int, int] = {}
        for key, own_ns in self._owed_ns.items():
            due_ns = own_ns if owed_ns <= length_ns else own_ns * length_ns // owed_ns
            ppm = due_ns * PPM // length_ns
            shares[key[0]] = shares.get(key[0], 0) + ppm
            self._owed_ns[key] = own_ns - ppm * length_ns // PPM
        # What is too little for a row stays owed, unless the driver forgot the process.
        self._owed_ns = {
            key: own_ns
            for key, own_ns in self._owed_ns.items()
            if key in self._known or own_ns * PPM >= length_ns
        }
        return tuple(ProcessUse(pid, ppm) for pid, ppm in sorted(shares.items()) if ppm)


def _by_key(accounts: Iterable[RawAccount]) -> dict[Key, RawAccount]:
    return {(account.pid, account.started_us): account for account in accounts}
