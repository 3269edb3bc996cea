"""Who is who: names that are used again, UIDs that are learned late, processes to holders."""

from dataclasses import replace

import pytest
from gpucost.identity import HOST, UNALLOCATED, Holder, HolderKind

from contracts.books_by_hand import SECOND, START, a_pod, an_instant
from gpucost_agent.ledger.directory import Directory
from gpucost_agent.ledger.holdings import ContainerName
from gpucost_agent.readings import ClusterReading, Node, Pod, PodContainer, ProcessIdentity

MAIN = ContainerName("ns", "web-0", "main")


def at(second: float) -> int:
    return START + int(second * SECOND)


def pod(uid: str, name: str = "web-0", gone_s: float | None = None, containers: tuple[str, ...] = ()) -> Pod:
    return Pod(
        "ns", name, uid, "Running", {}, {}, "", "",
        tuple(PodContainer(each, f"id-{uid}-{each}", None, None) for each in containers),
        None if gone_s is None else at(gone_s),
    )  # fmt: skip


def told(directory: Directory, second: float, *pods: Pod) -> Directory:
    directory.learn(ClusterReading(an_instant(at(second)), "cluster-uid", None, pods))
    return directory


def process(uid: str = "", container_id: str = "") -> ProcessIdentity:
    return ProcessIdentity(1, 1, uid, container_id)


def test_a_pod_that_nobody_told_of_has_no_uid() -> None:
    assert Directory().holder(MAIN, START).pod_uid == ""


def test_a_uid_that_is_learned_late_holds_for_the_time_before() -> None:
    directory = told(Directory(), 30, pod("u1"))
    assert directory.holder(MAIN, at(0)).pod_uid == "u1"


def test_a_name_that_is_used_again_is_another_pod_from_then_on() -> None:
    directory = told(told(Directory(), 0, pod("u1")), 50, pod("u2"))
    assert directory.holder(MAIN, at(49)).pod_uid == "u1"
    assert directory.holder(MAIN, at(50)).pod_uid == "u2"


def test_of_two_pods_that_are_heard_of_at_once_the_one_that_is_gone_came_first() -> None:
    for pods in ((pod("u1", gone_s=20), pod("u2")), (pod("u2"), pod("u1", gone_s=20))):
        directory = told(Directory(), 30, *pods)
        assert directory.holder(MAIN, at(40)).pod_uid == "u2"


def test_a_later_pod_that_is_learned_late_is_meant_from_when_the_one_before_it_was_gone() -> None:
    directory = told(Directory(), 0, pod("u1"))
    told(directory, 30, pod("u1", gone_s=20), pod("u2"))
    assert directory.holder(MAIN, at(19)).pod_uid == "u1"
    assert directory.holder(MAIN, at(25)).pod_uid == "u2"


def test_two_pods_of_a_name_that_are_heard_of_at_once_were_there_one_after_the_other() -> None:
    for pods in ((pod("u1", gone_s=20), pod("u2")), (pod("u2"), pod("u1", gone_s=20))):
        directory = told(Directory(), 30, *pods)
        ids = [directory.holder(MAIN, at(second)).pod_uid for second in (0, 19.9, 20, 25)]
        assert ids == ["u1", "u1", "u2", "u2"]


def test_a_pod_that_is_gone_and_still_listed_is_itself() -> None:
    directory = told(Directory(), 0, pod("u1", gone_s=20))
    assert directory.holder(MAIN, at(25)).pod_uid == "u1"


def test_a_process_of_a_known_container_is_its_own() -> None:
    directory = told(Directory(), 0, pod("u1", containers=("main",)))
    holder = a_pod("web-0", "u1")
    assert directory.owner(process("u1", "id-u1-main"), [holder]) == holder


def test_a_sidecar_that_holds_nothing_pays_for_its_own_use() -> None:
    directory = told(Directory(), 0, pod("u1", containers=("main", "sidecar")))
    holder, other = a_pod("web-0", "u1"), a_pod("a-neighbour", "u9")
    assert directory.owner(process("u1", "id-u1-sidecar"), [other, holder]) == a_pod("web-0", "u1", "sidecar")
    assert directory.owner(process("u1", "id-of-no-known-container"), [other, holder]) == holder


def test_a_sidecar_of_an_earlier_pod_of_the_name_is_its_own() -> None:
    directory = told(Directory(), 0, pod("u1", containers=("sidecar",)))
    stranger = directory.owner(process("u1", "id-u1-sidecar"), [a_pod("web-0", "u2")])
    assert stranger == a_pod("web-0", "u1", "sidecar")


def test_a_holder_without_a_uid_yet_is_found_by_its_name() -> None:
    directory = told(Directory(), 0, pod("u1", containers=("main",)))
    assert directory.owner(process("u1", "id-u1-main"), [a_pod("web-0")]) == a_pod("web-0")


def test_a_process_whose_container_nobody_named_is_its_pods() -> None:
    directory = told(Directory(), 0, pod("u1"))
    holder = a_pod("web-0", "u1")
    assert directory.owner(process("u1", "f00d"), [holder]) == holder


def test_a_process_in_a_pod_that_holds_nothing_pays_for_itself() -> None:
    directory = told(Directory(), 0, pod("u1"), pod("u2", "thief", containers=("main",)))
    assert directory.owner(process("u2", "id-u2-main"), [a_pod("web-0", "u1")]) == a_pod("thief", "u2")


def test_a_process_of_a_pod_that_nobody_told_of_keeps_what_is_known_of_it() -> None:
    owner = Directory().owner(process("u5", "0123456789abcdef"), [])
    assert owner == Holder(owner.kind, "", "", "u5", "0123456789ab")


def test_a_process_outside_of_pods_is_the_hosts() -> None:
    assert Directory().owner(process(), [a_pod("web-0")]) == HOST


def test_nobody_works_for_what_is_no_container() -> None:
    assert Directory().owner(process("u1", "x"), [UNALLOCATED]) != UNALLOCATED


def test_pods_that_nobody_tells_of_any_more_are_forgotten_and_others_are_not() -> None:
    directory = told(Directory(), 0, pod("u1", containers=("main",)), pod("u2", "other"))
    told(directory, 3_000, pod("u2", "other"))
    directory.forget_before(at(1))
    assert not directory.knows("ns", "web-0")
    assert directory.knows("ns", "other")
    assert directory.owner(process("u1", "id-u1-main"), []).pod == ""


def static_pod(uid: str, on_the_node: str) -> Pod:
    return replace(pod(uid), static_uid=on_the_node)


def test_a_static_pod_has_another_id_on_its_node() -> None:
    directory = told(Directory(), 0, static_pod("u1", "on-node"))
    assert directory.name_of("u1") == directory.name_of("on-node") == ("ns", "web-0")
    assert directory.name_of("u9") is None
    assert directory.owner(process("on-node", "f00d"), [a_pod("web-0", "u1")]) == a_pod("web-0", "u1")
    by_files = ContainerName("ns", "web-0", "main", "on-node")
    assert directory.holder(by_files, at(0)).pod_uid == "u1"
    assert directory.learn_pod("ns", "web-0", "on-node", at(9)).uid == "u1"
    assert len(list(directory.pods())) == 1
    directory.forget_before(at(9))
    assert directory.name_of("on-node") is None
    assert directory.holder(by_files, at(0)).pod_uid == "on-node"


def test_a_name_with_a_uid_is_that_pod_at_any_time() -> None:
    directory = told(told(Directory(), 0, pod("u1")), 50, pod("u2"))
    for second in (0, 49, 50, 90):
        assert directory.holder(ContainerName("ns", "web-0", "main", "u1"), at(second)).pod_uid == "u1"
    unknown = ContainerName("ns", "web-0", "main", "u9")
    assert (directory.life(unknown, at(0)), directory.holder(unknown, at(0)).pod_uid) == (None, "u9")


def test_files_on_the_node_tell_the_uid_before_the_api_server_does() -> None:
    directory = Directory()
    life = directory.learn_pod("ns", "web-0", "u1", at(5))
    assert (life.uid, life.first_seen_ns, life.last_seen_ns, life.pod) == ("u1", at(5), at(5), None)
    directory.learn_pod("ns", "web-0", "u1", at(9))
    directory.learn_pod("ns", "web-0", "u1", at(7))
    assert (life.first_seen_ns, life.last_seen_ns) == (at(5), at(9))
    assert directory.knows("ns", "web-0")
    assert not directory.knows("other", "web-0")


def test_a_pod_of_the_name_is_meant_until_its_object_is_gone() -> None:
    directory = told(Directory(), 10, pod("u1", gone_s=20))
    told(directory, 40, pod("u2"))
    ids = {second: directory.holder(MAIN, at(second)).pod_uid for second in (0, 10, 19.9, 20, 39.9, 40)}
    assert ids == {0: "u1", 10: "u1", 19.9: "u1", 20: "u2", 39.9: "u2", 40: "u2"}


def test_a_label_is_a_number_or_says_nothing_and_an_answer_without_a_node_moves_nothing() -> None:
    directory, seen = Directory(), []
    for labels in ({"nvidia.com/gpu.replicas": "4"}, None, {}, {"nvidia.com/gpu.replicas": "many"}):
        node = None if labels is None else Node("n", labels)
        directory.learn(ClusterReading(an_instant(START), "cluster-uid", node, ()))
        seen.append(directory.label_replicas)
    assert seen == [4, 4, None, None]


def test_a_container_whose_id_is_known_needs_no_pod_uid() -> None:
    directory = told(Directory(), 0, pod("u1", containers=("main",)))
    assert directory.owner(process("", "id-u1-main"), []) == a_pod("web-0", "u1")
    assert directory.owner(process("", "id-of-no-known-container"), []) == HOST


def test_of_several_containers_of_a_pod_that_hold_a_device_the_first_is_the_nameless_ones() -> None:
    directory = told(Directory(), 0, pod("u1"))
    holders = [a_pod("web-0", "u1", container) for container in ("z", "b", "c")]
    assert directory.owner(process("u1", "f00d"), holders) == holders[1]


def test_of_two_lives_of_a_name_the_one_that_nobody_tells_of_is_forgotten_with_its_containers() -> None:
    directory = told(Directory(), 0, pod("u1", containers=("main",)))
    told(directory, 3_000, pod("u2", containers=("main",)))
    directory.forget_before(at(-1))
    assert [life.uid for life in directory.pods()] == ["u1", "u2"]
    directory.forget_before(at(0))
    assert [life.uid for life in directory.pods()] == ["u2"]
    assert directory.name_of("u1") is None
    assert directory.name_of("u2") == ("ns", "web-0")
    assert directory.owner(process("u1", "id-u1-main"), []).container == "id-u1-main"
    assert directory.owner(process("u2", "id-u2-main"), []) == a_pod("web-0", "u2")


@pytest.mark.parametrize(
    ("who", "holder"),
    [
        (ProcessIdentity(7, 1, "p1", "0123456789abcdef"), ("container", "p1", "0123456789ab")),
        (ProcessIdentity(7, 1, unit="ollama.service", command="ollama"), ("unit", "", "ollama.service")),
        (ProcessIdentity(7, 1, unit="session-1.scope", command="python3"), ("process", "7", "python3")),
    ],
    ids=str,
)
def test_without_kubernetes_processes_are_told_apart_as_people_call_them(
    who: ProcessIdentity, holder: tuple[str, str, str]
) -> None:
    owner = Directory(stand_alone=True).owner(who, [])
    assert (owner.kind, owner.pod_uid) == (HolderKind.HOST, "")
    assert (owner.namespace, owner.pod, owner.container) == holder


def test_a_static_pod_is_meant_by_its_id_on_the_node_too() -> None:
    directory = told(Directory(), 0, replace(pod("mirror"), static_uid="file"))
    life = directory.life(replace(MAIN, pod_uid="file"), at(0))
    assert life is not None
    assert life.uid == "mirror"


def test_of_two_pods_that_come_later_the_first_is_meant() -> None:
    directory = Directory()
    for uid, second in (("one", 10), ("two", 20)):
        directory.learn_pod("ns", "web-0", uid, at(second))
    assert directory.holder(MAIN, at(5)).pod_uid == "one"
