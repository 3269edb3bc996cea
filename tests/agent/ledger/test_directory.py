"""Who is who: names that are used again, UIDs that are learned late, processes to holders."""

from gpucost.identity import HOST, UNALLOCATED, Holder

from contracts.books_by_hand import SECOND, START, a_pod, an_instant
from gpucost_agent.ledger.directory import Directory
from gpucost_agent.ledger.holdings import ContainerName
from gpucost_agent.readings import ClusterReading, Pod, PodContainer, ProcessIdentity

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
    directory.forget(at(3_601))
    assert not directory.knows("ns", "web-0")
    assert directory.knows("ns", "other")
    assert directory.owner(process("u1", "id-u1-main"), []).pod == ""
