"""The disk of one process fails below a folder, while it is told to, and nowhere else."""

import subprocess
import sys
import time
from pathlib import Path

from chaos.mapped import FULL_DISK, READ_ONLY, Disk
from demo.child import programs_environ

SHIM = Path(__file__).resolve().parents[2] / "hack/diskshim"
WRITER = """
import errno, os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
folder.mkdir(exist_ok=True)
outside = folder.with_name("outside")
kept = os.open(folder / "kept", os.O_RDWR | os.O_CREAT)
def tried(call):
    try:
        call()
    except OSError as trouble:
        return errno.errorcode[trouble.errno]
    return "ok"
for line in sys.stdin:
    print(
        tried(lambda: os.write(kept, b"x")),
        tried(lambda: os.fsync(kept)),
        tried(lambda: os.close(os.open(folder / f"new{line.strip()}", os.O_WRONLY | os.O_CREAT))),
        tried(lambda: os.close(os.open(folder / "kept", os.O_RDONLY))),
        tried(lambda: (folder / f"d{line.strip()}").mkdir()),
        tried(lambda: outside.write_text("x")),
        flush=True,
    )
"""


def test_a_disk_fails_below_its_folder_only(tmp_path: Path) -> None:
    subprocess.run(["make", "-s", "-C", str(SHIM)], check=True)
    disk = Disk(tmp_path / "numbers", tmp_path / "disk")
    environ = programs_environ() | disk.environ() | {"LD_PRELOAD": str(SHIM / "build/libdiskshim.so")}
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "disk")],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def tried(number: int) -> list[str]:
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{number}\n")
        process.stdin.flush()
        return process.stdout.readline().split()

    with process:
        assert tried(1) == ["ok"] * 6
        assert (disk.syncs, disk.is_syncing, disk.refused) == (1, False, 0)
        disk.fail(FULL_DISK)
        assert tried(2) == ["ENOSPC", "ENOSPC", "ENOSPC", "ok", "ENOSPC", "ok"]
        disk.fail(READ_ONLY)
        assert tried(3) == ["EROFS", "EROFS", "EROFS", "ok", "EROFS", "ok"]
        disk.fail(0)
        assert tried(4) == ["ok"] * 6
        assert disk.refused == 8
        disk.hold()
        assert process.stdin
        process.stdin.write("5\n")
        process.stdin.flush()
        while not disk.is_syncing:
            time.sleep(0.01)
        disk.slow(0)
        assert process.stdout
        assert process.stdout.readline().split() == ["ok"] * 6
        assert process.stdin
        process.stdin.close()
