"""python -m demo: start everything, look at the books as windows arrive, prove that they are right."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass, field

from demo import preflight, proof
from demo.audit import price_list, recording, scenario
from demo.audit.answers import Aggregator, Answers, NoAnswer
from demo.audit.books import Auditor, Verdict
from demo.audit.recording import Recording
from demo.child import Trouble
from demo.faults import deeds
from demo.screen import Screen, picture, sentence, table
from demo.stage import Stage
from demo.wish import ROOT, Wish, WrongWish, here

CATALOGUE = ROOT / "proto" / "gpucost" / "catalogue.csv"
NS = 10**9
_LOOK_S = 1.0
_TICK_S = 0.2
_RECENT_NS = 600 * NS
"""Of a demo that stays up, slices of the last ten minutes are looked at again; older ones by the reports' sums."""

_LATEST_S = 60
"""So long after the time to be compared the last window has to be there."""


class Interrupted(Exception):
    """Ctrl-C, or a polite request to end; *exit_code* is what a shell expects of who obeys."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


@dataclass
class Demo:
    """One run."""

    wish: Wish
    began: float
    stage: Stage = field(init=False)
    screen: Screen = field(init=False)
    verdict: Verdict | None = None
    answers: Answers | None = None
    first_report: float | None = None

    def run(self) -> int:
        """The exit status."""
        self.stage = Stage(self.wish)
        status = 1
        try:
            print(f"seed {self.wish.seed}, inputs {proof.inputs_sha256(self.wish)[:16]}", flush=True)
            self._start()
            self._watch()
            status = self._prove()
        except Interrupted as end:
            status = self._leave(end)
        except Trouble as trouble:
            status = self._prove(trouble)
        finally:
            _take_no_more_signals()
            self.stage.stop()
            if status == 1:
                print(f"logs are in {self.stage.folder}", file=sys.stderr)
            else:
                shutil.rmtree(self.stage.folder, ignore_errors=True)
        return status

    def _start(self) -> None:
        self.stage.start()
        self.screen = Screen(self.stage.base, self.stage.notice)
        if self.stage.notice:
            self.screen.say(self.stage.notice)
        self.screen.say(f"started; the first window comes in half a minute. Page: {self.stage.base}/")

    def _leave(self, end: Interrupted) -> int:
        """Somebody looked and left: what was compared so far is what counts."""
        if self.verdict is not None:
            return self._prove()
        print("ended before the first window was closed", flush=True)
        if self.wish.seconds is not None:
            self._prove()
        return end.exit_code

    def _watch(self) -> None:
        play = scenario.read(self.wish.scenario.read_text(encoding="utf-8"), self.stage.facts)
        book = None if self.wish.price_book is None else self.wish.price_book.read_text(encoding="utf-8")
        auditor = Auditor(play, price_list.read(book, CATALOGUE), self.stage.stories)
        aggregator = Aggregator(self.stage.base)
        start_ns = self.stage.facts["start_ns"]
        last_ns = None if self.wish.seconds is None else start_ns + self.wish.seconds * NS
        planned = deeds(self.stage, self.wish.seconds or 0)
        next_look = 0.0
        while True:
            self.stage.supervise()
            elapsed = (time.time_ns() - start_ns) / NS
            while planned and planned[0][0] <= elapsed:
                planned.pop(0)[1]()
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + _LOOK_S
                through_ns = self._look(auditor, aggregator)
                if last_ns is not None and through_ns >= last_ns - last_ns % play.window_ns:
                    self._look_at_all(auditor, aggregator)
                    return
            if self.wish.seconds is not None and elapsed > self.wish.seconds + _LATEST_S:
                raise Trouble(f"after {elapsed:.0f} s the windows of {self.wish.seconds} s are not complete")
            time.sleep(_TICK_S)

    def _look(self, auditor: Auditor, aggregator: Aggregator) -> int:
        """One look, if there is a new window; the instant up to which everything was looked at."""
        seen_ns = self.verdict.through_ns if self.verdict is not None else 0
        try:
            through_ns = aggregator.complete_through_ns()
            if through_ns is None or through_ns <= seen_ns:
                return seen_ns
            from_ns = max(auditor.begin_ns, seen_ns - _RECENT_NS)
            answers = aggregator.ask(from_ns, auditor.begin_ns)
        except NoAnswer:
            return seen_ns
        if answers is None or (self.verdict is None and not auditor.is_everybody_there(answers)):
            return seen_ns
        self._take(auditor, answers)
        return answers.through_ns

    def _look_at_all(self, auditor: Auditor, aggregator: Aggregator) -> None:
        """The last look: every row again, from the beginning of the books."""
        for _ in range(20):
            try:
                answers = aggregator.ask(auditor.begin_ns, auditor.begin_ns)
            except NoAnswer:
                time.sleep(_LOOK_S)
                continue
            if answers is not None:
                self._take(auditor, answers)
                return
        raise Trouble("the aggregator does not answer any more")

    def _take(self, auditor: Auditor, answers: Answers) -> None:
        self.answers = answers
        self.verdict = auditor.look(answers)
        if self.first_report is None:
            self.first_report = round(time.time() - self.began, 1)
        self.screen.show(self.verdict, answers.reports, self.stage.happened)

    def _prove(self, trouble: Trouble | None = None) -> int:
        """Write the proof, and say what it says; 0 if it holds, else 1."""
        run = proof.Run(
            self.wish,
            len(self.stage.clusters),
            time.time() - self.began,
            self.first_report,
            tuple(self.stage.happened),
            str(trouble or ""),
        )
        figures = proof.proof(run, self.verdict)
        proof.write(figures, self.wish.proof)
        if self.answers is not None:
            self._keep(self.answers)
            notice = [self.stage.notice] if self.stage.notice else []
            print("\n".join(["", *notice, *picture(self.answers.reports), ""]))
        if self.verdict is not None:
            print("\n".join(table(["figure", "value"], [(k, str(v)) for k, v in figures["figures"].items()])))
        for words in [*figures["findings"], *conclusion(self.verdict, trouble)]:
            print(words)
        word = "passed" if figures["passed"] else "FAILED"
        print(f"seed {self.wish.seed}; {word}; {self.wish.proof}", flush=True)
        return 0 if figures["passed"] else 1

    def _keep(self, answers: Answers) -> None:
        """Write down everything that the check read, so that it can be done again without the programs."""
        if self.wish.keep is None:
            return
        recording.write(Recording(self.stage.facts, self.stage.stories, answers), self.wish.keep)


def conclusion(verdict: Verdict | None, trouble: Trouble | None) -> list[str]:
    """The verdict in a line; of a run that could not go on the reason, and the last words of who ended it."""
    if trouble is None:
        return [sentence(verdict)] if verdict else []
    last_words = [f"  {line}" for line in trouble.last_words]
    until_then = [f"until then {sentence(verdict)}"] if verdict else []
    return [f"FAILED: {trouble.reason}", *last_words, *until_then]


def main() -> int:
    """The exit status."""
    began = float(os.environ.get("DEMO_BEGAN") or time.time())

    def leave(number: int, _: object) -> None:
        _take_no_more_signals()
        raise Interrupted(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    try:
        wish = here()
        preflight.check(wish)
        return Demo(wish, began).run()
    except WrongWish as trouble:
        print(trouble, file=sys.stderr)
        return 2
    except Interrupted as end:
        return end.exit_code


def _take_no_more_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
