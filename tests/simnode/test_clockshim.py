"""The wall clock of one process is stepped, and nothing that waits notices."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

SHIM = Path(__file__).resolve().parents[2] / "hack/clockshim"
DAY = 86_400 * 10**9

READER = """
import datetime, sys, threading, time
for line in sys.stdin:
    wall, monotonic = time.time_ns(), time.monotonic_ns()
    late = datetime.datetime.now(datetime.UTC).timestamp() - time.time()
    waits = threading.Event().wait(0.05), threading.Lock().acquire(timeout=0.05)
    threading.Condition().acquire()
    print(wall, monotonic, time.monotonic_ns() - monotonic, int(abs(late) < 1), waits[0], flush=True)
"""


@pytest.fixture(scope="module")
def shim() -> Path:
    subprocess.run(["make", "-s", "-C", str(SHIM)], check=True)
    return SHIM / "build/libclockshim.so"


class Reader:
    def __init__(self, shim: Path, file: Path) -> None:
        self.file = file
        environment = os.environ | {"LD_PRELOAD": str(shim), "CLOCK_SHIM_FILE": str(file)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", READER],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def look(self, ahead_ns: int | None = None) -> tuple[int, ...]:
        if ahead_ns is not None:
            with self.file.open("r+b") as file:
                file.write(struct.pack("=q", ahead_ns))
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return tuple(int(word) for word in self.process.stdout.readline().split()[:4])


def test_steps_both_ways_small_and_large(shim, tmp_path):
    file = tmp_path / "ahead"
    file.write_bytes(bytes(8))
    reader = Reader(shim, file)
    wall, monotonic, *_ = reader.look()
    for ahead in (30_000_000, -3_500_000_000, DAY, -DAY, 0):
        then, since, waited, agrees = reader.look(ahead)
        assert (then - wall) - (since - monotonic) == pytest.approx(ahead, abs=2_000_000)
        assert 50_000_000 <= waited < 1_000_000_000
        assert agrees
    reader.process.communicate()


def test_without_a_file_the_clock_is_as_it_is(shim, tmp_path):
    reader = Reader(shim, tmp_path / "none")
    wall, monotonic, *_ = reader.look()
    then, since, *_ = reader.look()
    assert (then - wall) - (since - monotonic) == pytest.approx(0, abs=2_000_000)
    reader.process.communicate()


WAITS = """
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static struct timespec in_a_while(clockid_t clock) {
    struct timespec at;
    clock_gettime(clock, &at);
    at.tv_nsec += 200000000;
    at.tv_sec += at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}
static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}
int main(void) {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t wall = PTHREAD_COND_INITIALIZER, steady;
    pthread_condattr_t facts;
    pthread_condattr_init(&facts);
    pthread_condattr_setclock(&facts, CLOCK_MONOTONIC);
    pthread_cond_init(&steady, &facts);
    sem_t none;
    int word = 0;
    sem_init(&none, 0, 0);
    pthread_mutex_lock(&mutex);
    for (int kind = 0; kind < 4; kind++) {
        struct timespec at = in_a_while(kind == 1 ? CLOCK_MONOTONIC : CLOCK_REALTIME);
        double before = now();
        if (kind == 0) pthread_cond_timedwait(&wall, &mutex, &at);
        if (kind == 1) pthread_cond_timedwait(&steady, &mutex, &at);
        if (kind == 2) sem_timedwait(&none, &at);
        if (kind == 3) syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &at, 0, ~0);
        printf("%.1f ", now() - before);
    }
}
"""


@pytest.mark.parametrize("ahead", [DAY, -DAY])
def test_deadlines_on_the_wall_clock_are_kept(shim, tmp_path, ahead):
    (tmp_path / "waits.c").write_text("#define _GNU_SOURCE\n" + WAITS)
    program = tmp_path / "waits"
    subprocess.run(["cc", "-pthread", "-o", str(program), str(tmp_path / "waits.c")], check=True)
    (tmp_path / "ahead").write_bytes(struct.pack("=q", ahead))
    environment = os.environ | {"LD_PRELOAD": str(shim), "CLOCK_SHIM_FILE": str(tmp_path / "ahead")}
    told = subprocess.run(
        [str(program)], env=environment, check=True, capture_output=True, text=True, timeout=20
    )
    assert told.stdout.split() == ["0.2"] * 4
