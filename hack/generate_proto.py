"""
Generates the Python code of proto/: `make proto`; with --check only says what is not as it would be generated.

The generated files are committed, so that nobody needs the generator to run or to read the code.
"""

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent / "proto"
SOURCES = (
    *("gpucost/v1/ledger.proto", "gpucost/v1/stream.proto", "gpucost/v1/peers.proto"),
    "gpucost/kubelet/v1/api.proto",
)
SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")


def generate(target: Path) -> None:
    """
    Write the code of all SOURCES under *target*.

    Raises:
        RuntimeError: A .proto file is wrong; the compiler has said on standard error what is.
    """
    outputs = [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", f"-I{ROOT}", *outputs, *SOURCES]):
        raise RuntimeError("the .proto files do not compile")


def stale() -> list[str]:
    """The committed files that are not as the generator writes them, relative to proto/."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        names = [source.removesuffix(".proto") + suffix for source in SOURCES for suffix in SUFFIXES]
        return [name for name in names if not _same(fresh / name, ROOT / name)]


def main(arguments: list[str]) -> int:
    if "--check" not in arguments:
        generate(ROOT)
        return 0
    names = stale()
    for name in names:
        print(f"proto/{name} is not what its .proto gives: run `make proto`", file=sys.stderr)
    return 1 if names else 0


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.read_bytes() == other.read_bytes()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
