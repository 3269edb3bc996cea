"""Names from the kubelet's log folders."""

import os
from pathlib import Path

import pytest

from gpucost_agent.sources.host.host_files import ContainerName, HostFiles, parse_log_link, parse_pod_folder

UID = "0e2e0d3b-9c1a-4f65-8a0f-8f0e6a1c2b3d"
HASH = "0123456789abcdef" * 2
CID = "9f" * 32


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "var/log/pods").mkdir(parents=True)
    (tmp_path / "var/log/containers").mkdir()
    return tmp_path


def touch_later(folder: Path, second: int) -> None:
    os.utime(folder, (second, second))


def test_a_container_by_its_link_though_the_link_leads_nowhere(root: Path) -> None:
    link = root / f"var/log/containers/llama-0_chat_side-car-{CID}.log"
    link.symlink_to("/var/log/pods/nowhere/0.log")
    files = HostFiles(root)
    assert files.container(CID) == ContainerName("chat", "llama-0", "side-car")
    assert files.container("ab" * 32) is None


def test_a_pod_by_its_folder(root: Path) -> None:
    (root / f"var/log/pods/chat_llama-0_{UID}").mkdir()
    (root / f"var/log/pods/kube-system_etcd-node_{HASH}").mkdir()
    files = HostFiles(root)
    assert files.pod_uid("chat", "llama-0") == UID
    assert files.pod_uid("kube-system", "etcd-node") == HASH
    assert files.pod_uid("chat", "llama-1") is None


def test_a_pods_name_by_its_uid_while_it_is_on_the_node(root: Path) -> None:
    (root / f"var/log/pods/chat_llama-0_{UID}").mkdir()
    (root / f"var/log/pods/kube-system_etcd-node_{HASH}").mkdir()
    files = HostFiles(root)
    assert files.pod_name(UID) == ("chat", "llama-0"), "volumes are not mounted"
    (root / f"var/lib/kubelet/pods/{UID}").mkdir(parents=True)
    assert files.pod_name(UID) == ("chat", "llama-0")
    assert files.pod_name(HASH) is None, "its logs outlive it"
    assert files.pod_name("") is None
    (root / f"var/lib/kubelet/pods/{UID}").rmdir()
    assert files.pod_name(UID) is None


def test_of_two_pods_of_one_name_the_newer_counts(root: Path) -> None:
    older, newer = UID, UID.replace("0e2e", "ffff")
    for second, uid in enumerate((newer, older)):
        (root / f"var/log/pods/chat_llama-0_{uid}").mkdir()
        touch_later(root / f"var/log/pods/chat_llama-0_{uid}", 1_700_000_000 - second)
    assert HostFiles(root).pod_uid("chat", "llama-0") == newer


def test_a_folder_that_changes_is_read_again(root: Path) -> None:
    files = HostFiles(root)
    assert files.pod_uid("chat", "llama-0") is None
    (root / f"var/log/pods/chat_llama-0_{UID}").mkdir()
    touch_later(root / "var/log/pods", 1_900_000_000)
    assert files.pod_uid("chat", "llama-0") == UID


def test_without_the_hosts_root_nothing_is_known(tmp_path: Path) -> None:
    files = HostFiles(tmp_path)
    assert files.container(CID) is None
    assert files.pod_uid("chat", "llama-0") is None


@pytest.mark.parametrize("name", ["", "x.log", f"a_b_c-{CID[:-1]}.log", f"a_b-{CID}.log", "lost+found"])
def test_what_is_no_name_of_a_link_is_left_out(name: str) -> None:
    assert parse_log_link(name) is None


@pytest.mark.parametrize("name", ["", "chat_llama-0", "chat_llama-0_zzz", "lost+found"])
def test_what_is_no_name_of_a_folder_is_left_out(name: str) -> None:
    assert parse_pod_folder(name) is None
