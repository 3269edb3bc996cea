"""
Proof `gpu`: the real driver, read with the agent's own sources under a load whose duty is known. Opt-in.

SECONDS sets how long the load is watched (60), GPU which one by NVML's number. Settings of the GPU are read, never
changed. Exit code 3: no GPU here. SIMULATED=1 runs the same against the simulated driver, OWNER says how that one names
owners.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from math import sqrt
from pathlib import Path

from demo.child import Trouble
from gpu.loads import DUTIES, CudaLoad, Load, SimulatedLoad
from gpu.measuring import Found, measure
from gpu.owners import WAYS, told_apart
from gpu.ring_polls import period_us
from gpu.timeline import Timeline
from gpu.under_test import Bench, NoGpu
from proofs.proof import FULL, ROOT, Bar, Proof, table

SECONDS = 60.0
_NO_GPU = 3
_LEAST_S = 3.0
_SAFE_S = 5
"""The longest pause between two looks for which the driver's ring is documented to lose nothing, with room to spare."""


def main(argv: Sequence[str] | None = None, folder: Path | None = None) -> int:
    """Run the proof; its exit code."""
    asked = _arguments(argv)
    seconds = max(_LEAST_S, float(os.environ.get("SECONDS") or SECONDS))
    began = time.monotonic()
    simulated = SimulatedLoad(seconds + 4, asked.owner, int(os.environ.get("SEED") or 1))
    try:
        if asked.simulated:
            _use_simulated_driver(simulated.start())
        bench = Bench(asked.gpu)
        if bench.is_mig():
            raise NoGpu(
                f"GPU {asked.gpu} is in MIG mode, where the driver has no ring; choose another by --gpu"
            )
        load: Load = simulated if asked.simulated else CudaLoad(bench.gpu.uuid)
        found = measure(bench, load, seconds)
        timeline = load.timeline(found.pids, found.end_ns)
    except (NoGpu, Trouble) as trouble:
        print(f"nothing was measured: {trouble}", file=sys.stderr)
        return _NO_GPU
    finally:
        simulated.stop()
    figures = figures_of(found, timeline) | {"driver": bench.version, "device": bench.gpu.model}
    show(figures)
    return Proof(
        name="gpu-simulated" if asked.simulated else "gpu",
        seed=simulated.seed,
        inputs_sha256=hashlib.sha256(repr(DUTIES).encode()).hexdigest(),
        seconds=time.monotonic() - began,
        compared=len(found.used_ns),
        bars=bars(found, figures),
        figures=figures,
    ).publish(folder or ROOT / "build" / "proofs")


def figures_of(found: Found, timeline: Timeline) -> dict[str, object]:
    """What was found, beside what the load really did."""
    length_ns = max(1, found.end_ns - found.begin_ns)
    did = timeline.shares_ns(found.begin_ns, found.end_ns)
    verdict = told_apart(found.named, timeline)
    accounted = found.accounted
    return {
        "ring_hz": found.ring_hz,
        "ring_depth": found.ring_depth,
        "ring_span_s": found.ring_span_s,
        "call_us": found.call_us,
        "duty": [
            {
                "load": f"{DUTIES[number].on_ms} of {DUTIES[number].period_ms} ms",
                "expected": round(did[pid] / length_ns, 4),
                "measured": round(found.used_ns[pid] / length_ns, 4) if pid in found.used_ns else None,
                "deviation_by_theory": _deviation(
                    did[pid], sum(did.values()), length_ns, len(found.ring_busy)
                ),
                "by_accounting": None if accounted is None else _rounded(accounted.get(pid)),
            }
            for number, pid in found.pids.items()
        ],
        "method": found.method,
        "watched": round(found.watched_ns / length_ns, 4),
        "busy": {
            "expected": round(sum(did.values()) / length_ns, 4),
            "ring": _mean([(1, ppm) for _, ppm in found.ring_busy]),
            "gpm": _mean(found.gpm_busy),
        },
        "polls": [
            {
                "period_s": polls.period_s,
                "polls": polls.polls,
                "samples": polls.samples,
                "missing": _missing(found, polls.period_s),
            }
            for polls in found.polls
        ],
        "owner": {"way": verdict.way, "samples": verdict.samples, "likelihoods": dict(verdict.likelihoods)},
        "probes": {"idle": found.probes_idle, "busy": found.probes_busy},
        "after_exit": found.after,
        "accounting": "read" if accounted is not None else "switched off",
        "troubles": sorted(found.troubles),
    }


def bars(found: Found, figures: dict[str, object]) -> tuple[Bar, ...]:
    """What has to have been measured, and what the agent relies on."""
    missing = _missing(found, _SAFE_S)
    measured = sum(pid in found.used_ns for pid in found.pids.values())
    return (
        Bar("ring_hz", "measured", found.ring_hz, FULL, found.ring_hz is not None),
        Bar("duties_measured", f"= {len(DUTIES)}", measured, FULL, measured == len(DUTIES)),
        Bar(f"missing_at_{_SAFE_S}_s", "= 0", missing, FULL, missing == 0),
        Bar("calls", "measured", len(found.call_us), FULL, bool(figures["call_us"])),
    )


def show(figures: dict[str, object]) -> None:
    """For people."""
    rows = []
    for name, value in figures.items():
        if isinstance(value, dict):
            rows += [(f"{name}.{key}", json.dumps(each)) for key, each in value.items()]
        elif isinstance(value, list):
            rows += [(name, json.dumps(each)) for each in value]
        else:
            rows.append((name, str(value)))
    print(table(("what", "found"), rows))


def _missing(found: Found, period_s: float) -> int | None:
    """By the distance of samples as the shortest polls saw it."""
    stamps = max((polls.stamps for polls in found.polls), key=len, default=[])
    period = period_us(stamps)
    polls = next((polls for polls in found.polls if polls.period_s == period_s), None)
    return None if period is None or polls is None else polls.missing(period)


def _deviation(own_ns: int, busy_ns: int, length_ns: int, samples: int) -> float | None:
    """The standard deviation of a share whose samples have an owner each, drawn in proportion to time."""
    if not busy_ns or not samples:
        return None
    share = own_ns / busy_ns
    return round(busy_ns / length_ns * sqrt(share * (1 - share) / samples), 4)


def _mean(weighted: Sequence[tuple[int, int]]) -> float | None:
    weight = sum(each for each, _ in weighted)
    return round(sum(each * ppm for each, ppm in weighted) / weight / 1e6, 4) if weight else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _use_simulated_driver(mapping: Path) -> None:
    """Before the binding looks for the driver: what is loaded already under its name is what it finds."""
    library = Path(os.environ.get("NVML_LIBRARY_DIR") or ROOT / "hack" / "nvml" / "build")
    os.environ["NVML_SIM_MAPPING"] = str(mapping)
    ctypes.CDLL(str(library / "libnvidia-ml.so.1"))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make gpu", description=__doc__)
    given = os.environ.get
    which, simulated, owner = int(given("GPU") or 0), given("SIMULATED") == "1", given("OWNER") or WAYS[0]
    parser.add_argument("--gpu", type=int, default=which, metavar="N", help="which GPU, by NVML's number")
    parser.add_argument(
        "--simulated", action="store_true", default=simulated, help="the simulated driver and its load"
    )
    parser.add_argument("--owner", choices=WAYS, default=owner, help="how the simulated driver names owners")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
