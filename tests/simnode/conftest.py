"""The simulated node is run from hack/ and never installed; its driver is read by the real pynvml in a child."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from simnode.mapping import NodeMapping
from simnode.sampling import SampledGpu
from simnode.scenario import Node, load

NVML = Path(__file__).resolve().parents[2] / "hack/nvml"
START = 1_790_000_000 * 10**9

READER = """
import ctypes, json, sys, textwrap
import pynvml
pynvml.nvmlInit()
handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
names = {"pynvml": pynvml, "handles": handles, "ctypes": ctypes}
names["names"] = names
def plain(value):
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if hasattr(value, "sampleValue"):
        return [value.timeStamp, value.sampleValue.uiVal]
    if hasattr(value, "_fields_"):
        return {name: plain(getattr(value, name)) for name, _ in value._fields_}
    if hasattr(value, "value"):
        return value.value
    if hasattr(value, "__dict__"):
        return vars(value)
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, (int, float, str, type(None))) else None
print(len(handles), flush=True)
for line in sys.stdin:
    name, gpu, *arguments = json.loads(line)
    first = [] if gpu is None else [handles[gpu]]
    arguments = [handles[a["gpu"]] if isinstance(a, dict) else a for a in arguments]
    try:
        if name == "run":
            exec("def asked():\\n" + textwrap.indent(textwrap.dedent(arguments[0]), "    "), names)
            value = names["asked"]()
        else:
            value = getattr(pynvml, name)(*first, *arguments)
        if isinstance(value, pynvml.POINTER(pynvml.struct_c_nvmlDevice_t)):
            value = pynvml.nvmlDeviceGetIndex(value)
        answer = plain(value if not hasattr(value, "_length_") else list(value))
    except pynvml.NVMLError as error:
        answer = type(error).__name__
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture(scope="session")
def library() -> Path:
    subprocess.run(["make", "-s", "-C", str(NVML)], check=True)
    return NVML / "build/libnvidia-ml.so.1"


class Driver:
    """A node whose clock the test moves, and a process that reads it."""

    def __init__(self, folder: Path, library: Path, scenario: str) -> None:
        file = folder / "s.yaml"
        file.write_text(scenario)
        self.node: Node = load(file).clusters[0].nodes[0]
        self.ahead_ns = 0
        self.gpus = [SampledGpu(self.node, gpu, 5) for gpu in self.node.gpus]
        self.mapping = NodeMapping(folder / "nvml.map", self.node, START, lambda: self.ahead_ns)
        self.advance(0)
        self.mapping.appear()
        where = {"LD_LIBRARY_PATH": str(library.parent), "NVML_SIM_MAPPING": str(folder / "nvml.map")}
        self.reader = subprocess.Popen(
            [sys.executable, "-c", READER],
            env=os.environ | where,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.answer() == len(self.gpus)  # it has initialised before the test goes on

    def advance(self, until: int) -> None:
        for gpu in self.gpus:
            gpu.advance(until)
            self.mapping.publish(gpu)

    def send(self, name: str, gpu: int | None = 0, *arguments) -> None:
        assert self.reader.stdin
        self.reader.stdin.write(json.dumps([name, gpu, *arguments]) + "\n")
        self.reader.stdin.flush()

    def answer(self):
        assert self.reader.stdout
        return json.loads(self.reader.stdout.readline())

    def ask(self, name: str, gpu: int | None = 0, *arguments):
        """One of pynvml's functions, of one GPU; the name of its error if it raises one."""
        self.send(f"nvml{name}", gpu, *arguments)
        return self.answer()

    def run(self, code: str):
        """What the body of a function gives that knows pynvml, and the GPUs' handles."""
        self.send("run", None, code)
        return self.answer()


@pytest.fixture
def driven(tmp_path, library):
    """Makes the driver of a scenario's first node."""
    made = []

    def make(scenario: str) -> Driver:
        made.append(Driver(tmp_path, library, scenario))
        return made[-1]

    yield make
    for driver in made:
        driver.reader.communicate()
