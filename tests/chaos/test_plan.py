"""What is drawn: every kind, the same for the same seed, and a scene that the simulator takes."""

from pathlib import Path

import pytest

from chaos.__main__ import plan_of, scene_of
from chaos.plan import IN_CI, KINDS
from chaos.wish import Wish, read
from demo.wish import WrongWish
from proofs.proof import CI, FULL
from simnode.scenario import load


@pytest.mark.parametrize("seed", [1, 2])
def test_a_full_run_has_every_kind_and_a_short_one_its_own(seed: int) -> None:
    for form, length, kinds in ((FULL, 600, set(KINDS)), (CI, 60, set(IN_CI))):
        wish = Wish(form, seed, length)
        planned = plan_of(wish, scene_of(wish))
        assert {each.kind for each in planned} == kinds
        assert all(5 < each.at_s < length - 20 for each in planned)
        assert planned == sorted(planned, key=lambda each: each.at_s)


def test_what_is_restored_is_there_before_anything_is_gone_for_good() -> None:
    for seed in range(4):
        wish = Wish(FULL, seed, 600)
        planned = {each.kind: each for each in plan_of(wish, scene_of(wish))}
        assert planned["backup_restored"].at_s + 60 < planned["spool_cloned"].at_s
        assert planned["spool_cloned"].at_s < planned["node_deleted"].at_s
        assert planned["spool_cloned"].agent != planned["node_deleted"].agent


@pytest.mark.parametrize("seed", [1, 2])
def test_the_simulator_takes_what_is_drawn(seed: int, tmp_path: Path) -> None:
    scene = scene_of(Wish(FULL, seed, 600))
    kinds = set()
    for name, text in scene.clusters.items():
        file = tmp_path / f"{name}.yaml"
        file.write_text(text)
        (cluster,) = load(file).clusters
        assert any(gpu.replicas > 1 for node in cluster.nodes for gpu in node.gpus)
        kinds |= {failure.kind for failure in scene.failures() if failure.cluster == name}
    assert kinds == {"lost", "error", "hang", "uninitialized"}


def test_a_seed_draws_one_run() -> None:
    one, other = Wish(FULL, 7, 600), Wish(FULL, 8, 600)
    assert scene_of(one) == scene_of(one) != scene_of(other)
    assert plan_of(one, scene_of(one)) == plan_of(one, scene_of(one)) != plan_of(other, scene_of(other))


def test_what_can_not_be_played_is_refused() -> None:
    for environ in ({"SECONDS": "12"}, {"SECONDS": "x"}, {"SCENARIO": "nowhere.yaml"}):
        with pytest.raises(WrongWish):
            read(environ)
    wish = read({"FAULTS": "nothing"})
    with pytest.raises(WrongWish, match="nothing"):
        plan_of(wish, scene_of(wish))
