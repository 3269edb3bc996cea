"""The load: two processes whose duty is known, on a real GPU or on the simulated one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import yaml

from demo.child import Child, Trouble, programs_environ
from gpu.timeline import Burst, Timeline

MS, S = 10**6, 10**9
_READY_S = 30


@dataclass(frozen=True, slots=True)
class Duty:
    """On for so long of each period, in milliseconds."""

    on_ms: int
    period_ms: int

    @property
    def share(self) -> float:
        return self.on_ms / self.period_ms


DUTIES = (Duty(200, 400), Duty(52, 130))
"""Half of the time with a period above a sample's, and two fifths with one below it."""


class Load(Protocol):
    """Blocks for seconds at most; Trouble if it does not run."""

    def begin(self, number: int) -> int:
        """Let one of DUTIES begin; the PID that its process has where it was started."""
        ...

    def end(self) -> None:
        """End all of them, at once and for good."""
        ...

    def timeline(self, pids: Mapping[int, int], until_ns: int) -> Timeline:
        """What they did; *pids* are the driver's names of them, by number."""
        ...


@dataclass
class CudaLoad:
    """Processes on a real GPU."""

    uuid: str
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="gpucost-gpu-")))
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def begin(self, number: int) -> int:
        duty, file = DUTIES[number], self._file(number)
        words = [self.uuid, str(duty.on_ms), str(duty.period_ms), str(file)]
        process = subprocess.Popen(
            [sys.executable, "-m", "gpu.cuda", *words], env=programs_environ(), stderr=subprocess.PIPE
        )
        self._running.append(process)
        deadline = time.monotonic() + _READY_S
        while not (file.exists() and file.stat().st_size):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                words_of = process.communicate()[1].decode(errors="replace").strip()
                raise Trouble(f"the load does not run: {words_of or 'no burst came'}")
            time.sleep(0.05)
        return process.pid

    def end(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()

    def timeline(self, pids: Mapping[int, int], until_ns: int) -> Timeline:
        found = {}
        for number, pid in pids.items():
            lines = [line.split() for line in self._file(number).read_text(encoding="ascii").splitlines()]
            bursts = [Burst(int(line[0]), int(line[1])) for line in lines if len(line) == 2]
            found[pid] = [burst for burst in bursts if burst.begin_ns < until_ns]
        return Timeline(found)

    def _file(self, number: int) -> Path:
        return self.folder / f"load-{number}.txt"


@dataclass
class SimulatedLoad:
    """The simulated driver with the same duties; it begins with everything, and ends at a time that is set before."""

    seconds: float
    owner: str = "proportional"
    seed: int = 1
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="gpucost-gpu-")))
    start_ns: int = 0
    _simulator: Child | None = None

    PIDS = (41_001, 41_002)
    FIRST_S = 6
    """For so long the GPU is idle."""

    def start(self) -> Path:
        """Start the simulator; its mapping."""
        file = self.folder / "scenario.yaml"
        file.write_text(self.scenario(), encoding="utf-8")
        words = ["simnode", "simulate", "--scenario", str(file), "--state", str(self.folder)]
        self._simulator = Child("simulator", words, programs_environ(), self.folder)
        self._simulator.start()
        facts = self._simulator.ready()
        self.start_ns = facts["start_ns"]
        return Path(facts["nodes"][0]["mapping"])

    def scenario(self) -> str:
        """As YAML."""
        processes = [
            {
                "gpu": 0,
                "pid": pid,
                "start": f"{self.FIRST_S}s",
                "end": f"{self.FIRST_S + self.seconds:g}s",
                "busy": {"pattern": "duty", "on_ms": duty.on_ms, "period_ms": duty.period_ms},
            }
            for pid, duty in zip(self.PIDS, DUTIES, strict=True)
        ]
        node = {
            "name": "bench",
            "booted": "-1h",
            "driver": {"owner": self.owner, "accounting": True},
            "gpus": [{"model": "NVIDIA H200"}],
            "host_processes": processes,
        }
        clusters = [{"name": "bench", "nodes": [node]}]
        text: str = yaml.safe_dump({"name": "gpu", "seed": self.seed, "clusters": clusters})
        return text

    def begin(self, number: int) -> int:
        begin_ns = self.start_ns + self.FIRST_S * S
        time.sleep(max(0, begin_ns + S // 2 - time.time_ns()) / S)
        return self.PIDS[number]

    def end(self) -> None:
        end_ns = self.start_ns + round((self.FIRST_S + self.seconds) * S)
        time.sleep(max(0, end_ns - time.time_ns()) / S)

    def stop(self) -> None:
        """The simulator."""
        if self._simulator is not None:
            self._simulator.ask_to_end()
            self._simulator.end(10)

    def timeline(self, pids: Mapping[int, int], until_ns: int) -> Timeline:
        begin_ns = self.start_ns + self.FIRST_S * S
        return Timeline(
            {pid: list(bursts(DUTIES[number], begin_ns, until_ns)) for number, pid in pids.items()}
        )


def bursts(duty: Duty, begin_ns: int, until_ns: int) -> list[Burst]:
    """What a duty is from *begin_ns* on."""
    period_ns = duty.period_ms * MS
    begins = range(begin_ns, until_ns, period_ns)
    return [Burst(at, min(at + duty.on_ms * MS, until_ns)) for at in begins]
