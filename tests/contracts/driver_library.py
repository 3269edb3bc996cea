"""Programs that see a shared library as the driver's: the simulated one, and one that fails as it is told."""

import json
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HACK = ROOT / "hack"
PATIENCE_S = 120

PRELUDE = """
import pickle, sys, time
from gpucost.clock import Instant
from gpucost.trouble import Retry, Stop
from gpucost_agent.sources.driver.nvml import open_driver

class Clock:
    def now(self):
        return Instant(time.time_ns(), time.monotonic_ns())

"""


def run(library: Path, program: str, **environment: str) -> Any:
    """What a program pickles, that sees *library* as the driver's."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(program)],
        env={
            **os.environ,
            "LD_LIBRARY_PATH": str(library),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "proto"), str(ROOT / "agent")]),
            **environment,
        },
        stdout=subprocess.PIPE,
        check=True,
        timeout=PATIENCE_S,
    )
    return pickle.loads(done.stdout)  # noqa: S301 - of the program above


def simulated_library() -> Path:
    """The folder of the simulated driver's library, built."""
    subprocess.run(["make", "-s", "-C", str(HACK / "nvml")], check=True, timeout=PATIENCE_S)
    return HACK / "nvml" / "build"


@contextmanager
def simulation(folder: Path, text: str) -> Iterator[str]:
    """A simulated node plays; where its driver's mapping is."""
    scenario = folder / "scenario.yaml"
    scenario.write_text(text)
    process = subprocess.Popen(
        [sys.executable, "-m", "simnode", "simulate", "--scenario", str(scenario), "--state", str(folder)],
        env={**os.environ, "PYTHONPATH": str(HACK)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        word, _, facts = process.stdout.readline().partition(" ")
        assert word == "ready"
        yield json.loads(facts)["nodes"][0]["mapping"]
        process.terminate()
        process.wait(PATIENCE_S)


def faulty_library(folder: Path) -> Path:
    """The same for the one that fails."""
    (folder / "faulty.c").write_text(FAULTY)
    command = ["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", "libnvidia-ml.so.1", "faulty.c"]
    subprocess.run(command, cwd=folder, check=True, timeout=PATIENCE_S)
    return folder


# Plays a driver of NVML_GPUS GPUs, of which number NVML_HANGS hangs. NVML_FAULTS is a list of SYMBOL=CODE,CODE,...:
# what a call answers, one code each time it is made, and success after that; CODE* is for ever.
FAULTY = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define EXPORT __attribute__((visibility("default")))
static unsigned calls[16];
static const char *names[16];
static int fault(const char *name) {
    unsigned i = 0;
    while (names[i] && strcmp(names[i], name)) i++;
    names[i] = name;
    unsigned call = calls[i]++;
    char text[1024], *rest = text;
    snprintf(text, sizeof text, "%s", getenv("NVML_FAULTS") ? getenv("NVML_FAULTS") : "");
    for (char *entry; (entry = strsep(&rest, " "));) {
        char *codes = strchr(entry, '=');
        if (!codes || (size_t)(codes - entry) != strlen(name) || strncmp(entry, name, strlen(name))) continue;
        codes++;
        for (char *code; (code = strsep(&codes, ","));)
            if (!call-- || strchr(code, '*')) return atoi(code);
    }
    return 0;
}
static int handle, looked_up[64], lookups;
static void *worthless;
static int attached;
EXPORT int nvmlInitWithFlags(unsigned f) { int code = fault("init"); attached += !code; return code; }
EXPORT const char *nvmlErrorString(int code) { return "a fault"; }
static unsigned number(const char *name, unsigned otherwise) { return getenv(name) ? atoi(getenv(name)) : otherwise; }
EXPORT int nvmlDeviceGetCount_v2(unsigned *n) { *n = number("NVML_GPUS", 1); return fault("count"); }
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h) {
    while (i == number("NVML_HANGS", -1)) pause();
    *h = &handle;
    return fault("index");
}
EXPORT int nvmlDeviceGetHandleByUUID(const char *u, void **h) { *h = &looked_up[lookups++ % 64]; return fault("uuid"); }
EXPORT int nvmlDeviceGetUUID(void *h, char *t, unsigned n) {
    snprintf(t, n, "GPU-00000000-0000-0000-0000-000000000001"); return 0;
}
EXPORT int nvmlDeviceGetName(void *h, char *t, unsigned n) { snprintf(t, n, "Faulty"); return 0; }
EXPORT int nvmlDeviceGetMinorNumber(void *h, unsigned *n) { *n = 0; return fault("minor"); }
EXPORT int nvmlDeviceGetTotalEnergyConsumption(void *h, uint64_t *mj) {
    *mj = 42;
    int code = h == worthless ? 2 : fault("energy");
    if (getenv("NVML_FORGETS") && attached < 2) return 1;
    if (code == 2) worthless = h;
    return code;
}
/* One new sample and then none, in turns; use by process that has no rows, which is a success. */
EXPORT int nvmlDeviceGetSamples(void *h, int type, uint64_t seen, int *value, unsigned *n, uint64_t *rows) {
    static int gave;
    if (getenv("NVML_FORGETS") && attached < 2) return 1;
    int code = rows ? fault("samples") : fault("room");
    *value = 1;
    if (!rows) *n = 1;
    if (!rows || code) return code;
    *n = gave = !gave;
    rows[0] = seen + 1, rows[1] = 50 | 7ull << 32;
    return 0;
}
EXPORT int nvmlDeviceGetProcessUtilization(void *h, void *rows, unsigned *n, uint64_t seen) {
    *n = 0;
    return fault("uses");
}
EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(void *h, unsigned *n, void *rows) {
    int code = getenv("NVML_FORGETS") && attached < 2 ? 1 : fault("compute");
    unsigned room = *n;
    *n = number("NVML_PROCESSES", 1);
    for (unsigned i = 0; rows && i < *n && i < room; i++)
        ((uint32_t *)rows)[6 * i] = 7 + i, ((uint64_t *)rows)[3 * i + 1] = -1, ((uint64_t *)rows)[3 * i + 2] = -1;
    return code ? code : *n > room ? 7 : 0;
}
"""
