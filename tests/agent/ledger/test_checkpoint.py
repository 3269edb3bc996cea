"""What the next agent reads of the one before it."""

import json
from fractions import Fraction

import pytest
from gpucost.identity import UNALLOCATED, Device, Holder, HolderKind
from hypothesis import given
from hypothesis import strategies as st

from gpucost_agent.ledger.checkpoint import Checkpoint
from gpucost_agent.readings import ComputeInstance, GpuInstance, Partition

COUNTS = st.integers(1, 8)
DEVICES = st.builds(
    Device,
    st.text(min_size=1),
    st.none() | st.integers(0, 14),
    st.none() | st.integers(0, 7),
    st.sampled_from(("", "1g.10gb")),
    st.none() | st.integers(0, 7),
)
NUMBERS = st.integers(0, 8)
PARTS = st.builds(ComputeInstance, NUMBERS, st.text(), NUMBERS)
INSTANCES = st.builds(
    GpuInstance, NUMBERS, st.text(), NUMBERS, NUMBERS, NUMBERS, st.lists(PARTS, max_size=2).map(tuple)
)
PARTITIONS = st.builds(Partition, st.booleans(), st.lists(INSTANCES, max_size=2).map(tuple), NUMBERS, NUMBERS)
HOLDERS = st.builds(Holder, st.just(HolderKind.CONTAINER), st.text(), st.text(), st.text(), st.text())


@given(
    st.builds(
        Checkpoint,
        st.text(),
        st.integers(0, 2**63),
        st.dictionaries(st.text(), st.integers(0, 2**63)),
        st.dictionaries(DEVICES, st.dictionaries(HOLDERS, COUNTS, max_size=3), max_size=3),
        st.dictionaries(DEVICES, COUNTS, max_size=3),
        st.dictionaries(st.text(), st.text(), max_size=3),
        st.dictionaries(st.text(), PARTITIONS, max_size=3),
        st.dictionaries(DEVICES, st.dictionaries(HOLDERS, st.fractions(0, 2), max_size=3), max_size=3),
    )
)
def test_it_comes_back_as_it_was(checkpoint: Checkpoint) -> None:
    assert Checkpoint.from_json(checkpoint.to_json()) == checkpoint


def good() -> dict[str, object]:
    device, holder = {"gpu_uuid": "GPU-1"}, {"kind": "container", "pod": "a"}
    return {
        "boot_id": "b",
        "closed_through_ns": 5,
        "lives": {"GPU-1": 1},
        "held": [[device, [[holder, 1]]]],
        "replicas": [[device, 4]],
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"boot_id": 7},
        {"closed_through_ns": "5"},
        {"closed_through_ns": None},
        {"closed_through_ns": True},
        {"closed_through_ns": 1.5},
        {"lives": []},
        {"lives": {"GPU-1": "yesterday"}},
        {"held": 1},
        {"held": {"a": 1}},
        {"held": [[{"gpu_uuid": "GPU-1"}, [[{"kind": "martian"}, 1]]]]},
        {"held": [[{"gpu_uuid": "GPU-1"}, [[{"kind": "container"}, "many"]]]]},
        {"held": [[{"gpu_uuid": "GPU-1"}, [["container", 1]]]]},
        {"held": [[{"serial": 1}, []]]},
        {"held": [[{"gpu_uuid": "GPU-1", "gi": "one"}, []]]},
        {"monotonic_ns": "7"},
        {"replicas": [[{"gpu_uuid": "GPU-1"}, 0]]},
        {"replicas": None},
        {"models": {"GPU-1": 4090}},
        {"held": [[{"gpu_uuid": "GPU-1"}, [[{"kind": "container"}, -1]]]]},
        {"partitions": {"GPU-1": {"instances": None}}},
        {"partitions": {"GPU-1": {"instances": [{"gi": 1}]}}},
        {"partitions": {"GPU-1": {"instances": [], "mig": True, "serial": 1}}},
        {"shares": [[{"gpu_uuid": "GPU-1"}, [[{"kind": "container"}, "half"]]]]},
        {"shares": [[{"gpu_uuid": "GPU-1"}, [[{"kind": "container"}, "1/0"]]]]},
        {"shares": [[{"gpu_uuid": "GPU-1"}, [[{"kind": "container"}, "-1/2"]]]]},
        {"shares": [[{"gpu_uuid": "GPU-1"}, [[{"kind": "container"}, 0.5]]]]},
    ],
    ids=str,
)
def test_a_wrong_field_is_refused_in_words(wrong: dict[str, object]) -> None:
    Checkpoint.from_json(json.dumps(good()))
    with pytest.raises(ValueError, match=r"^no checkpoint of the books: \S"):
        Checkpoint.from_json(json.dumps({**good(), **wrong}))


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "7", '"text"', "{}", "\0"])
def test_garbage_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"^no checkpoint of the books: \S"):
        Checkpoint.from_json(text)


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_no_garbage_gets_another_error(text: str) -> None:
    with pytest.raises(ValueError, match="no checkpoint of the books"):
        Checkpoint.from_json(text)


def whole() -> Checkpoint:
    device, holder = Device("GPU-1", 1, 0, "1g.6gb", 2), Holder(HolderKind.CONTAINER, "ns", "a", "u", "main")
    instance = GpuInstance(1, "1g.6gb", 2, 1, 1, (ComputeInstance(0, "MIG-1", 1),))
    return Checkpoint(
        "b",
        5,
        {"GPU-1": 1},
        {device: {holder: 0}},
        {device: 1},
        {"GPU-1": "NVIDIA A30"},
        {"GPU-1": Partition(True, (instance,), 4, 4)},
        {device: {holder: Fraction(0), UNALLOCATED: Fraction(1, 3)}},
        7,
    )


def test_all_of_it_is_written_down() -> None:
    assert Checkpoint.from_json(whole().to_json()) == whole()
    assert list(json.loads(whole().to_json())) == sorted(json.loads(whole().to_json()))


def test_what_earlier_agents_did_not_write_is_nothing() -> None:
    checkpoint = Checkpoint.from_json(json.dumps(good()))
    assert (checkpoint.models, checkpoint.partitions, checkpoint.shares) == ({}, {}, {})
    assert checkpoint.replicas == {Device("GPU-1"): 4}
    assert Checkpoint.from_json(json.dumps({**good(), "replicas": [[{"gpu_uuid": "G"}, 1]]})).replicas


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"boot_id": 7}, "7 is no text"),
        ({"closed_through_ns": -1}, "-1 is no whole number of 0 or more"),
        ({"replicas": [[{"gpu_uuid": "GPU-1"}, 0]]}, "0 is no whole number of 1 or more"),
        ({"shares": [[{"gpu_uuid": "GPU-1"}, [[{"kind": "host"}, "-1/2"]]]]}, "'-1/2' is no share"),
    ],
)
def test_what_is_wrong_with_it_is_said(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=f"^no checkpoint of the books: {words}$"):
        Checkpoint.from_json(json.dumps({**good(), **wrong}))


def test_what_it_lacks_is_said() -> None:
    with pytest.raises(ValueError, match=r"^no checkpoint of the books: it lacks 'boot_id'$"):
        Checkpoint.from_json("{}")


CUT = {"mig": True, "instances": [], "compute_total": 4, "memory_total": 4}
INSTANCE = {"gi": 1, "profile": "", "placement": 0, "compute_slices": 1, "memory_slices": 1, "parts": []}
PART = {"ci": 0, "uuid": "MIG-1", "compute_slices": 1}


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        ({"mig": "yes"}, "'yes' is neither true nor false"),
        ({"compute_total": -1}, "-1 is no whole number of 0 or more"),
        ({"compute_total": -1, "instances": [INSTANCE]}, "-1 is no whole number of 0 or more"),
        ({"instances": [{**INSTANCE, "gi": -2, "parts": [PART]}]}, "-2 is no whole number of 0 or more"),
        ({"instances": [{**INSTANCE, "parts": [{**PART, "ci": -3}]}]}, "-3 is no whole number of 0 or more"),
    ],
)
def test_every_number_of_a_partition_is_one(cut: dict[str, object], words: str) -> None:
    partitions = {"GPU-1": {**CUT, **cut}}
    with pytest.raises(ValueError, match=f"^no checkpoint of the books: {words}$"):
        Checkpoint.from_json(json.dumps({**good(), "partitions": partitions}))
