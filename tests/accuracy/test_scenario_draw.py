"""The scenario that is drawn: playable, of every mode, the same for the same seed."""

import json
from pathlib import Path

import pytest

from accuracy import plan, truth
from accuracy.__main__ import inputs_sha256, orders, wish
from accuracy.modes import mode_of
from accuracy.scenario_draw import draw, lead_s
from simnode.scenario import load
from simnode.simulate import Simulation
from simnode.truth import Truth, open_private

MODES = {
    *(
        "claim",
        "claim_shared",
        "exclusive_gpm",
        "exclusive_ring",
        "hami_fractions",
        "init_container",
        "kai_group",
    ),
    *("mig_ampere_alone", "mig_ampere_dcgm", "mig_gpm", "mig_gpm_changing", "mig_several_in_one"),
    *("mig_shared_device", "mps_overlapping", "mps_turns", "no_process_source", "owner_last", "same_name"),
    *(
        "short_lives",
        "short_lives_shared",
        "time_slicing",
        "time_slicing_accounting",
        "time_slicing_shadow_host",
    ),
}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("length_s", [60, 600])
def test_the_simulator_takes_what_is_drawn(seed: int, length_s: int, tmp_path: Path) -> None:
    file = tmp_path / "drawn.yaml"
    file.write_text(draw(seed, length_s))
    holders = [
        container
        for node in load(file).clusters[0].nodes
        for pod in node.pods
        for container in pod.containers
        if container.holds
    ]
    assert len(holders) > 60


def test_every_mode_is_there(tmp_path: Path) -> None:
    file, record, start = tmp_path / "drawn.yaml", tmp_path / "truth.jsonl", 1_800_000_000 * 10**9
    file.write_text(draw(5, 60))
    scenario = load(file)
    simulation = Simulation(scenario, start, Truth(scenario, start, open_private(record, -1, -1)))
    simulation.finish((lead_s(60) + 60) * 10**9)
    found = truth.read(map(json.loads, record.read_text().splitlines()))
    plans = plan.read(file.read_text(), found.run)
    devices = {key: device for key, device in found.devices.items() if device.everybody()}
    assert {mode_of(key, device, plans[key.gpu_uuid]).name for key, device in devices.items()} == MODES


def test_a_seed_draws_one_scenario() -> None:
    assert draw(7, 60) == draw(7, 60) != draw(8, 60)


def test_a_given_scenario_is_told_by_the_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tmp_path / "given.yaml"
    given.write_text("name: x\nwindow_seconds: 10\nclusters: []\n")
    for name, value in (("CI", "1"), ("SEED", "3"), ("SECONDS", "25"), ("SCENARIO", str(given))):
        monkeypatch.setenv(name, value)
    wished = wish()
    assert (wished.length_s, wished.window_s, wished.runs) == (20, 10, 1)
    (order,) = orders(wished, tmp_path)
    assert "window_seconds: 1" in order.scenario.read_text()
    before = inputs_sha256([order])
    monkeypatch.setenv("SEED", "4")
    assert inputs_sha256(orders(wish(), tmp_path)) != before
