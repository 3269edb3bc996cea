"""What the next agent reads of the one before it."""

import json

import pytest
from gpucost.identity import Device, Holder, HolderKind
from hypothesis import given
from hypothesis import strategies as st

from gpucost_agent.ledger.checkpoint import Checkpoint

COUNTS = st.integers(1, 8)
DEVICES = st.builds(
    Device,
    st.text(min_size=1),
    st.none() | st.integers(0, 14),
    st.none() | st.integers(0, 7),
    st.sampled_from(("", "1g.10gb")),
    st.none() | st.integers(0, 7),
)
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
        {"replicas": [[{"gpu_uuid": "GPU-1"}, 0]]},
        {"replicas": None},
        {"models": {"GPU-1": 4090}},
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
