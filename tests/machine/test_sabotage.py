"""Lives turn red when the product is broken on purpose: agents of a copy of the tree with one line changed."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.machine_plan import Command, Plan
from contracts.machine_run import Life
from contracts.node_stage import ROOT

SECONDS = 20.0
GPUS = [{"model": "NVIDIA L4"}, {"model": "NVIDIA L4"}]


def pod(name: str, gpu: int, end_s: float | None = None) -> dict[str, object]:
    process = {"gpu": gpu, "busy": {"pattern": "constant", "share": 0.5}}
    container = {"name": "main", "gpus": [gpu], "processes": [process]}
    return {"name": name, "namespace": "ns", "start": 0.0, "end": end_s, "containers": [container]}


PLAN = Plan(
    seed=1,
    seconds=SECONDS,
    window_s=2,
    nodes=(
        {
            "name": "n0",
            "gpus": GPUS,
            "failures": [{"kind": "lost", "at": 8.0, "until": 13.0, "gpu": 1}],
            "pods": [pod("stays", 0), pod("leaves", 1, 6.0)],
        },
    ),
    commands=(Command(1.0, "kill", "n0"), Command(3.0, "start", "n0")),
)
"""A short life in which each of the faults below has its turn."""

FAULTS = {
    "the time of a lost GPU is dropped": (
        "gpu_book.py",
        "if stretching.length_ns(part)",
        "if stretching.length_ns(part) and not is_lost",
        "law 2",
    ),
    "what a killed agent did not close is forgotten": (
        "books.py",
        "start = max(self.before.closed_through_ns, self.first_look_ns - _LONGEST_GAP_NS)",
        "start = self.first_look_ns",
        "law 6",
    ),
    "a free GPU is billed to whoever holds another one": (
        "occupancy.py",
        "held = self.by_device.get(device, {})",
        "held = self.by_device.get(device) or next(iter(self.by_device.values()), {})",
        "who:",
    ),
    "a slice stands twice": (
        "books.py",
        "return ClosedWindow(interval, slices,",
        "return ClosedWindow(interval, (*slices, *slices[:1]),",
        "law 5",
    ),
    "what nobody watched is called idle": (
        "settle.py",
        "idle, unmeasured = apportion(part, (stretch.watched_ns - used_in_all, length - stretch.watched_ns))",
        "idle, unmeasured = part, 0",
        "law 9",
    ),
}


def broken(folder: Path, fault: str) -> Path:
    """A copy of the product with this fault."""
    file, line, instead, _ = FAULTS[fault]
    for part in ("proto", "agent"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    source = folder / "agent/gpucost_agent/ledger" / file
    text = source.read_text()
    assert text.count(line) == 1, f"{file} has changed; this sabotage has to follow it"
    source.write_text(text.replace(line, instead))
    return folder


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Life]:
    """A life with each fault, and one without, all at the same time."""
    folders = {fault: broken(tmp_path_factory.mktemp("broken"), fault) for fault in FAULTS}
    trees = {"nothing": ROOT, **folders}
    with ThreadPoolExecutor(len(trees)) as threads:
        lived = threads.map(lambda tree: Life(replace(PLAN), tree).live(), trees.values())
        return dict(zip(trees, lived, strict=True))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_product_is_seen(lives: dict[str, Life], fault: str, tmp_path: Path) -> None:
    said = FAULTS[fault][3]
    life = lives[fault]
    if not any(said in words for words in life.breaches):
        # What a machine that is busy with all those lives allows for can hide a fault; one alone shows it.
        life = Life(replace(PLAN), broken(tmp_path, fault)).live()
    assert any(said in words for words in life.breaches), life.breaches


def test_as_it_is_the_same_life_is_well(lives: dict[str, Life]) -> None:
    assert lives["nothing"].breaches == []
