"""The kubelet's checkpoint of device plugins, in the forms that kubelets were seen to write."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gpucost_agent.sources.kubelet.kubelet_files import (
    CHECKPOINT,
    GivenIds,
    KubeletCheckpoint,
    parse_checkpoint,
)

GPU = "nvidia.com/gpu"


def entry(ids: Any, container: str = "main", uid: str = "u1", resource: str = GPU) -> dict[str, Any]:
    return {
        "PodUID": uid,
        "ContainerName": container,
        "ResourceName": resource,
        "DeviceIDs": ids,
        "AllocResp": "CgA=",
    }


def text(*entries: Any) -> str:
    data = {"PodDeviceEntries": list(entries), "RegisteredDevices": {GPU: ["a", "b"]}}
    return json.dumps({"Data": data, "Checksum": 1})


@pytest.mark.parametrize(
    "ids", [{"0": ["a", "b"]}, {"-1": ["a"], "1": ["b"]}, ["a", "b"], {"0": ["a", "b"], "1": ["a"]}]
)
def test_ids_by_numa_node_or_in_one_list(ids: Any) -> None:
    assert parse_checkpoint(text(entry(ids))) == (GivenIds("u1", "main", {GPU: ("a", "b")}),)


def test_a_container_of_several_resources_is_one() -> None:
    found = parse_checkpoint(
        text(entry(["a"]), entry(["x"], "init"), entry(["7"], resource="rdma/hca"), entry(["b"], uid="u2"))
    )
    assert found == (
        GivenIds("u1", "main", {GPU: ("a",), "rdma/hca": ("7",)}),
        GivenIds("u1", "init", {GPU: ("x",)}),
        GivenIds("u2", "main", {GPU: ("b",)}),
    )


def test_an_entry_that_is_not_understood_does_not_hide_the_others() -> None:
    odd = [None, {}, {"PodUID": "u9"}, entry(7), entry({"0": None}, "empty")]
    assert parse_checkpoint(text(*odd, entry(["a"]))) == (
        GivenIds("u1", "empty", {GPU: ()}),
        GivenIds("u1", "main", {GPU: ("a",)}),
    )


def test_a_kubelet_that_gave_nothing_yet() -> None:
    assert parse_checkpoint('{"Data":{"PodDeviceEntries":null,"RegisteredDevices":{}},"Checksum":1}') == ()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"Data":null}', '{"V1":{}}', "7"])
def test_what_is_no_checkpoint_tells_nothing(content: str, tmp_path: Path) -> None:
    write(tmp_path, content)
    assert KubeletCheckpoint(tmp_path).read() is None


def write(root: Path, content: str, at_ns: int = 1_800_000_000_000_000_001) -> None:
    """As the kubelet does: a new file takes the old one's place."""
    path = root / CHECKPOINT
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name("aside")
    aside.write_text(content)
    os.utime(aside, ns=(at_ns, at_ns))
    aside.replace(path)


def test_a_change_shows_at_a_look_and_its_instant_is_the_files(tmp_path: Path) -> None:
    checkpoint = KubeletCheckpoint(tmp_path)
    assert not checkpoint.changed
    assert checkpoint.read() is None
    assert checkpoint.written_at_ns is None
    write(tmp_path, text(entry(["a"])))
    assert checkpoint.changed
    assert checkpoint.written_at_ns is None
    assert checkpoint.read() == (GivenIds("u1", "main", {GPU: ("a",)}),)
    assert not checkpoint.changed
    assert checkpoint.written_at_ns == 1_800_000_000_000_000_001
    write(tmp_path, text(entry(["b"])))  # the same size and time, in another file
    assert checkpoint.changed
    assert checkpoint.read() == (GivenIds("u1", "main", {GPU: ("b",)}),)
    (tmp_path / CHECKPOINT).unlink()
    assert checkpoint.changed
    assert checkpoint.read() is None
    assert not checkpoint.changed


def test_a_file_that_did_not_change_is_not_read_again(tmp_path: Path) -> None:
    write(tmp_path, text(entry(["a"])))
    checkpoint = KubeletCheckpoint(tmp_path)
    assert checkpoint.read() is checkpoint.read() is not None


def test_a_file_of_absurd_size_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpucost_agent.sources.host.changing_file.LARGEST_CHARACTERS", 100)
    write(tmp_path, text(entry(["a" * 100])))
    assert KubeletCheckpoint(tmp_path).read() is None
