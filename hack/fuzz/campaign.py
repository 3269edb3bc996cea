"""A time box for one target: rounds of hypothesis until it is over, and what they found, shrunk."""

import hashlib
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from fuzz.target import Target

_A_ROUND = 2_000
_SHRINKING_S = 10.0
"""So long a finding is made smaller; what it is by then is shown."""


_LONGER_S = 20.0
"""So much longer a target is tried that has accepted nothing."""


class _Enough(BaseException):
    """The time box is over. No Exception, so that hypothesis does not take it for a finding."""


@dataclass(frozen=True)
class Finding:
    """An input and what became of it: the smallest that was met in the time."""

    target: str
    data: bytes
    error: str

    @property
    def name(self) -> str:
        """What its file is called."""
        return f"{self.target}-{hashlib.sha256(self.data).hexdigest()[:12]}"


@dataclass
class Outcome:
    """How a target did: inputs tried and accepted, seconds, and the first finding."""

    target: str
    executions: int = 0
    accepted: int = 0
    seconds: float = 0.0
    finding: Finding | None = None
    inputs: "hashlib._Hash" = field(default_factory=hashlib.sha256)


def search(
    target: Target,
    seed: int,
    seconds: float,
    known: Iterable[bytes] = (),
    clock: Callable[[], float] = time.process_time,
) -> Outcome:
    """
    Try *known* inputs, then random ones for *seconds* or until one is a finding.

    Seconds are the processor's, so that a busy machine tries as much as an idle one.

    One round of hypothesis ends when it has seen enough of its kind, so another follows, with a seed of its own.
    """
    began = clock()
    run = _Run(target, Outcome(target.name), began + seconds, clock)
    draw = random.Random(f"{seed} {target.name}")
    try:
        for data in known:
            run.attempt(data)
        while clock() < run.end or not run.outcome.accepted:
            _round(run, draw.randrange(2**32))
    except _Enough:
        pass
    except Exception as error:  # noqa: BLE001  # whatever a parser raises is what is looked for
        if run.smallest is None:
            run.keep(b"", error)
    run.outcome.seconds = clock() - began
    if run.smallest is not None:
        data, words = run.smallest
        run.outcome.finding = Finding(target.name, data, words)
    return run.outcome


@dataclass
class _Run:
    target: Target
    outcome: Outcome
    end: float
    clock: Callable[[], float]
    smallest: tuple[bytes, str] | None = None

    def attempt(self, data: bytes) -> None:
        """Raises what the check raises, and _Enough when time is up."""
        over_s = self.clock() - self.end
        # On a busy machine the first inputs of a target may take all of a short run, and be no good ones.
        if over_s >= 0 and (self.outcome.accepted or self.smallest is not None or over_s > _LONGER_S):
            raise _Enough
        self.outcome.executions += 1
        self.outcome.inputs.update(len(data).to_bytes(8, "big") + data)
        try:
            self.outcome.accepted += self.target.check(data)
        except Exception as error:
            self.keep(data, error)
            raise

    def keep(self, data: bytes, error: Exception) -> None:
        if self.smallest is None:
            self.end = self.clock() + _SHRINKING_S
        if self.smallest is None or (len(data), data) < (len(self.smallest[0]), self.smallest[0]):
            self.smallest = (data, f"{type(error).__name__}: {str(error)[:500]}")


def _round(run: _Run, seed: int) -> None:
    @hypothesis.seed(seed)
    @settings(
        max_examples=_A_ROUND,
        deadline=None,
        database=None,
        derandomize=False,
        print_blob=False,
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(run.target.inputs)
    def example(data: bytes) -> None:
        run.attempt(data)

    example()
