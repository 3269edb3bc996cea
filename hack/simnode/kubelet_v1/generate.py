"""Generates api_pb2.py and api_pb2.pyi from api.proto; needs grpcio-tools."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def main() -> int:
    root = FOLDER.parent.parent
    proto = (FOLDER / "api.proto").relative_to(root)
    protoc = [sys.executable, "-m", "grpc_tools.protoc"]
    subprocess.run([*protoc, f"-I{root}", f"--python_out={root}", f"--pyi_out={root}", proto], check=True)
    # The kubelet's package is `v1`, so every program that speaks to a kubelet has messages of these names.
    # In protobuf's default pool two files with the same names collide, whatever the files are called;
    # a pool of its own lets a test hold the simulated kubelet and the program under test in one process.
    generated = FOLDER / "api_pb2.py"
    default, private = "_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"
    text = generated.read_text()
    if text.count(default) != 1:
        print(f"{generated}: expected {default} exactly once", file=sys.stderr)
        return 1
    generated.write_text(text.replace(default, private))
    # protoc writes Mapping without its types, which a strict type checker holds against every importer.
    stub = FOLDER / "api_pb2.pyi"
    stub.write_text('# mypy: disable-error-code="type-arg"\n' + stub.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
