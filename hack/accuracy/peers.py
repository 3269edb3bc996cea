"""
What others would have read: a process of its own that asks the same driver, by NVIDIA's own binding, each 15 seconds.

python -m accuracy.peers FILE SECONDS_BETWEEN appends a JSON line a GPU and scrape, until it is ended. What is made of
them, and whose way it is, is in rivals.py.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pynvml

LAST_US = 1_000_000
"""nvitop-exporter and HAMi-core ask for the samples of the last second."""


def look(handles: list[tuple[str, Any]]) -> list[dict[str, object]]:
    """One scrape of all GPUs; what a GPU does not support is null."""
    lines: list[dict[str, object]] = []
    for uuid, handle in handles:
        now_ns = time.time_ns()
        lines.append(
            {
                "at_ns": now_ns,
                "gpu_uuid": uuid,
                "gauge": _gauge(handle),
                "processes": _processes(handle, now_ns),
            }
        )
    return lines


def _gauge(handle: Any) -> int | None:
    try:
        return int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    except pynvml.NVMLError:
        return None


def _processes(handle: Any, now_ns: int) -> list[list[int]] | None:
    try:
        rows = pynvml.nvmlDeviceGetProcessUtilization(handle, now_ns // 1000 - LAST_US)
    except pynvml.NVMLError_NotFound:
        return []
    except pynvml.NVMLError:
        return None
    return [[int(row.pid), int(row.smUtil)] for row in rows]


def main(file: Path, seconds: float) -> int:
    """Until it is asked to end."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    pynvml.nvmlInit()
    handles = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        handles.append((str(pynvml.nvmlDeviceGetUUID(handle)), handle))
    print("ready", json.dumps({"gpus": len(handles)}), flush=True)
    due = time.monotonic()
    with file.open("a", encoding="utf-8") as out:
        while not stop.wait(max(0.0, due - time.monotonic())):
            due += seconds
            out.writelines(json.dumps(line) + "\n" for line in look(handles))
            out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2])))
