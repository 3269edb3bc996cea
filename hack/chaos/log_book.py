"""What the harness did, and when nobody can have watched a GPU: its own word, beside the ledger's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Span:
    """Time in which a GPU was not watched, by what was done to its node; *end_ns* is None while it lasts."""

    gpu_uuid: str
    why: str
    begin_ns: int
    end_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A cluster's wall clock is *ahead_ns* ahead from *at_ns* on."""

    cluster: str
    at_ns: int
    ahead_ns: int


@dataclass
class LogBook:
    """The log of a run."""

    spans: list[Span] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    """Those that windows follow: a clock that is a day off is not used."""

    jumps: list[tuple[str, int]] = field(default_factory=list)
    """Clusters whose clocks jumped, and when: all of them, also by a day."""

    deaths: dict[str, int] = field(default_factory=dict)
    """By GPU: when its node ended for good."""

    fired: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    ends: list[str] = field(default_factory=list)
    """Programs that ended and that nobody killed."""

    told: list[tuple[int, str]] = field(default_factory=list)

    def tell(self, at_ns: int, words: str) -> None:
        self.told.append((at_ns, words))

    def begin(self, gpus: Iterable[str], why: str, at_ns: int) -> None:
        """Nobody watches *gpus* from now on; one that is not watched anyhow is not watched for one reason more."""
        self.spans += [Span(uuid, why, at_ns) for uuid in gpus]

    def end(self, gpu_uuid: str, why: str, at_ns: int) -> None:
        """It is watched again."""
        for span in self.spans:
            if (span.gpu_uuid, span.why, span.end_ns) == (gpu_uuid, why, None):
                span.end_ns = at_ns

    def unwatched_ns(self, gpu_uuid: str, begin_ns: int, end_ns: int) -> int:
        """How much of an interval the GPU was not watched, for any reason."""
        cuts = sorted(
            (max(span.begin_ns, begin_ns), min(end_ns if span.end_ns is None else span.end_ns, end_ns))
            for span in self.spans
            if span.gpu_uuid == gpu_uuid
        )
        total, through = 0, begin_ns
        for begin, end in cuts:
            total += max(0, end - max(begin, through))
            through = max(through, end)
        return total

    def reasons(self, gpu_uuid: str, begin_ns: int, end_ns: int) -> int:
        """How many times something kept the GPU from being watched within an interval."""
        return sum(
            span.gpu_uuid == gpu_uuid
            and span.begin_ns < end_ns
            and (span.end_ns is None or span.end_ns > begin_ns)
            for span in self.spans
        )
