"""Who held what: the kubelet's answers with what the API server knows of pods."""

from dataclasses import replace
from fractions import Fraction

import pytest
from gpucost.identity import UNALLOCATED, Device, Holder, unobserved
from gpucost.window import Interval

from contracts.books_by_hand import (
    ONE,
    SECOND,
    START,
    THREE,
    TWO,
    a_container,
    a_gpu,
    a_pod,
    an_answer,
    an_instant,
    an_object,
)
from gpucost_agent.ledger.directory import Directory
from gpucost_agent.ledger.holdings import Holdings
from gpucost_agent.ledger.occupancy import Occupancy, Occupants, Part, Reservation, share_of
from gpucost_agent.readings import ClusterReading, GpuFraction, Pod

A, B = a_pod("a"), a_pod("b")
MINUTE = Interval(START, START + 60 * SECOND)
ALL = (ONE, TWO, THREE)


def test_parts_are_summed() -> None:
    assert Part(1, Fraction(1, 4)) + Part(2, Fraction(1, 2)) == Part(3, Fraction(3, 4))


@pytest.mark.parametrize(
    ("one", "other", "least"),
    [
        (Part(3), Part(2), Part(2)),
        (Part(2), Part(3), Part(2)),
        (Part(2), Part(share=Fraction(1, 2)), Part(2)),
        (Part(share=Fraction(1, 2)), Part(share=Fraction(1, 3)), Part(share=Fraction(1, 3))),
        (Part(share=Fraction(1, 3)), Part(share=Fraction(1, 2)), Part(share=Fraction(1, 3))),
        (Part(share=Fraction(1, 3)), Part(1), Part(share=Fraction(1, 3))),
        (Part(1), Part(), Part(1)),
    ],
)
def test_a_part_is_no_more_than_another(one: Part, other: Part, least: Part) -> None:
    assert one.at_most(other) == least


@pytest.mark.parametrize(
    ("held", "replicas", "alone"),
    [
        ({}, 1, None),
        ({A: Part(1)}, 1, A),
        ({A: Part(1)}, 2, None),
        ({A: Part(2)}, 2, A),
        ({A: Part(3)}, 4, None),
        ({A: Part(1), B: Part(1)}, 1, None),
        ({A: Part(share=Fraction(1))}, 1, A),
        ({A: Part(share=Fraction(1, 2))}, 1, None),
        ({A: Part(share=Fraction(3, 2))}, 1, A),
    ],
)
def test_who_holds_a_whole_device_alone(
    held: dict[Holder, Part], replicas: int, alone: Holder | None
) -> None:
    assert Reservation(tuple(held.items()), replicas).alone == alone


def test_what_is_reserved_is_replicas_and_shares() -> None:
    held = Reservation(((A, Part(1, Fraction(1, 3))), (B, Part(share=Fraction(1, 3)))), 4)
    assert held.reserved(100) == {A: 25 + 33, B: 33}
    assert held.excess == "overlapping"
    assert held.limits() == {A: Fraction(1, 4), B: Fraction(1, 3)}
    replicas = Reservation(((A, Part(5)), (B, Part(1))), 4)
    assert replicas.reserved(100) == {A: 125, B: 25}
    assert replicas.excess == "oversubscribed"
    assert replicas.limits() == {A: 1, B: Fraction(1, 4)}


def test_of_a_node_of_which_nobody_can_say_all_is_unobserved() -> None:
    found = Occupancy(MINUTE, None).of(Device(ONE), ALL)
    assert (found.held, found.free, found.replicas) == ((), unobserved("kubelet_away"), 1)


def test_holders_stand_in_their_order_with_how_often_their_device_is_cut() -> None:
    found = Occupancy(MINUTE, {Device(ONE): {B: Part(1), A: Part(2)}}, {Device(ONE): 4}).of(Device(ONE), ALL)
    assert found == Reservation(((A, Part(2)), (B, Part(1))), 4, UNALLOCATED)


@pytest.mark.parametrize(
    ("unmapped", "unobserved_gpus"), [(0, set()), (1, {TWO}), (2, {TWO, THREE}), (9, {TWO, THREE})]
)
def test_as_many_free_gpus_as_there_are_unmapped_ids_are_unobserved(
    unmapped: int, unobserved_gpus: set[str]
) -> None:
    instance = Device(ONE, 1, 0, "1g.6gb", 0)
    there = Occupancy(MINUTE, {instance: {A: Part(1)}}, unmapped=unmapped)
    free = {uuid for uuid in ALL if there.of(Device(uuid), ALL).free == unobserved("unmapped")}
    assert free == unobserved_gpus, "of the first GPU a part is held"
    assert there.of(instance, ALL).free == UNALLOCATED
    other = Device(TWO, 1, 0, "1g.6gb", 0)
    assert (there.of(other, ALL).free != UNALLOCATED) == (unmapped > 0), "and a free GPU's parts are its own"


@pytest.mark.parametrize(
    ("fraction", "memory", "share"),
    [
        (GpuFraction(share_ppm=250_000, cores_ppm=900_000), 100, Fraction(1, 4)),
        (GpuFraction(cores_ppm=250_000, memory_bytes=50), 100, Fraction(1, 2)),
        (GpuFraction(cores_ppm=750_000, memory_bytes=50), 100, Fraction(3, 4)),
        (GpuFraction(memory_bytes=50), 100, Fraction(1, 2)),
        (GpuFraction(memory_bytes=500), 100, Fraction(1)),
        (GpuFraction(memory_bytes=50), None, None),
        (GpuFraction(memory_bytes=50), 0, None),
        (GpuFraction(cores_ppm=10_000, memory_bytes=50), None, Fraction(1, 100)),
        (GpuFraction(), 100, None),
    ],
    ids=str,
)
def test_a_share_is_told_outright_or_the_larger_of_cores_and_memory(
    fraction: GpuFraction, memory: int | None, share: Fraction | None
) -> None:
    assert share_of(fraction, memory) == share


def occupants(held: dict[str, list[str]], *pods: Pod, unlisted: tuple[str, ...] = ()) -> Occupants:
    holdings, directory = Holdings(START, 60 * SECOND), Directory()
    holdings.heard(an_answer(START, held, unlisted=unlisted))
    directory.learn(ClusterReading(an_instant(START), None, None, pods))
    return Occupants(holdings, directory, (a_gpu(ONE), a_gpu(TWO)))


def told(found: Occupants, device: str = ONE) -> list[tuple[float, float, str]]:
    lines = []
    for each in found.periods(MINUTE):
        held = (each.by_device or {}).get(Device(device), {})
        start, end = ((at - START) / SECOND for at in (each.interval.start_ns, each.interval.end_ns))
        lines.append((start, end, " ".join(holder.container for holder in held)))
    return lines


def test_periods_are_cut_where_a_pods_life_changes() -> None:
    setup = a_container("setup", init=True, finished_ns=START + 10 * SECOND)
    main = a_container(finished_ns=START + 40 * SECOND)
    pod = an_object("p", setup, main, gone_ns=START + 30 * SECOND)
    found = occupants({ONE: ["p/setup", "p"]}, pod, unlisted=("p/setup",))
    assert told(found) == [(0, 10.5, "setup"), (10.5, 30, "main"), (30, 60, "")]
    assert found.at(START + 20 * SECOND).by_device == {Device(ONE): {a_pod("p", "uid-p"): Part(1)}}


def test_after_the_grace_nobody_can_say() -> None:
    found = occupants({ONE: ["a"]})
    last = list(found.periods(Interval(START, START + 61 * SECOND)))[-1]
    assert (last.interval.length_ns, last.by_device) == (SECOND, None)


def test_a_fraction_by_the_drivers_index_is_of_that_gpu() -> None:
    pod = an_object("a", fractions=[GpuFraction("main", gpu_index=2, share_ppm=500_000)])
    found = occupants({ONE: ["a"]}, pod)
    assert (told(found, ONE), told(found, TWO)) == ([(0, 60, "")], [(0, 60, "main")])


def test_a_placeholder_that_holds_nothing_yet_has_no_group() -> None:
    member = an_object("a", fractions=[GpuFraction(group="g", share_ppm=500_000)])
    for pods in ((member,), (member, an_object("holder", reserves="g"))):
        assert told(occupants({ONE: []}, *pods)) == [(0, 60, "")]


def test_where_claims_are_hidden_whatever_looks_free_may_be_held() -> None:
    found = Occupancy(MINUTE, {Device(ONE): {A: Part(1)}}, unmapped=1, claims_hidden=True)
    assert found.of(Device(ONE), ALL).free == UNALLOCATED
    assert found.of(Device(TWO), ALL).free == found.of(Device(THREE), ALL).free == unobserved("claims_hidden")
    hidden, directory = Holdings(START, 60 * SECOND), Directory()
    hidden.heard(replace(an_answer(START, {}), claims_hidden=True))
    assert Occupants(hidden, directory, ()).at(START).claims_hidden


def test_an_occupancy_is_cut() -> None:
    whole = Occupancy(MINUTE, {}, unmapped=1)
    half = Interval(START, START + 30 * SECOND)
    assert whole.cut(half) == replace(whole, interval=half)
    assert whole.cut(Interval(START - 1, START)) is None


def test_of_two_pods_of_one_name_the_second_holds_from_when_it_was_heard_of() -> None:
    directory, holdings = Directory(), Holdings(START, 60 * SECOND)
    for uid, second in (("one", 0), ("two", 30)):
        pods = [an_object("a", uid="one", gone_ns=START + 30 * SECOND)] if uid == "two" else []
        directory.learn(
            ClusterReading(an_instant(START + second * SECOND), "c", None, (*pods, an_object("a", uid=uid)))
        )
    holdings.heard(an_answer(START, {ONE: ["a"]}))
    found = Occupants(holdings, directory, (a_gpu(ONE),)).periods(MINUTE)
    uids = [
        (each.interval.start_ns, holder.pod_uid)
        for each in found
        for holder in (each.by_device or {}).get(Device(ONE), {})
    ]
    assert uids == [(START, "one"), (START + 30 * SECOND, "two")]


def test_where_fractions_do_not_count_an_id_that_nobody_can_map_is_one_all_the_same() -> None:
    directory, holdings = Directory(), Holdings(START, 60 * SECOND)
    pod = an_object("stranger", fractions=[GpuFraction("main", ONE, share_ppm=500_000)])
    directory.learn(ClusterReading(an_instant(START), "c", None, (pod,)))
    holdings.heard(an_answer(START, {}, unmapped=["x"]))
    for fractions, ids in ((True, ()), (False, ("x",))):
        occupants = Occupants(holdings, directory, (a_gpu(ONE),), fractions)
        assert occupants.unmapped_ids(START) == ids


def test_a_fraction_for_no_container_by_name_is_the_first_ones_of_each_pod() -> None:
    directory, holdings = Directory(), Holdings(START, 60 * SECOND)
    quarter = GpuFraction("", ONE, share_ppm=250_000)
    pods = tuple(an_object(name, fractions=[quarter]) for name in ("a", "b"))
    directory.learn(ClusterReading(an_instant(START), "c", None, pods))
    holdings.heard(an_answer(START, {ONE: ["a", "b"]}, replicas=4))
    now = Occupants(holdings, directory, (a_gpu(ONE),)).at(START)
    shares = {holder.pod: part.share for holder, part in (now.by_device or {})[Device(ONE)].items()}
    assert shares == {"a": Fraction(1, 4), "b": Fraction(1, 4)}


def test_a_fraction_of_a_container_that_its_pods_object_does_not_list_yet() -> None:
    directory, holdings = Directory(), Holdings(START, 60 * SECOND)
    pod = replace(an_object("a", fractions=[GpuFraction("", ONE, share_ppm=250_000)]), containers=())
    directory.learn(ClusterReading(an_instant(START), "c", None, (pod,)))
    holdings.heard(an_answer(START, {ONE: ["a"]}, replicas=4))
    now = Occupants(holdings, directory, (a_gpu(ONE),)).at(START)
    assert [part.share for part in (now.by_device or {})[Device(ONE)].values()] == [Fraction(1, 4)]


def test_a_pod_of_a_group_has_its_fraction_also_while_its_containers_are_not_told() -> None:
    directory, holdings = Directory(), Holdings(START, 60 * SECOND)
    placeholder = replace(an_object("holds", reserves="g"), reserves_uuid=ONE)
    member = replace(an_object("a", fractions=[GpuFraction("", group="g", share_ppm=250_000)]), containers=())
    directory.learn(ClusterReading(an_instant(START), "c", None, (placeholder, member)))
    holdings.heard(an_answer(START, {}))
    now = Occupants(holdings, directory, (a_gpu(ONE),)).at(START)
    (holder,) = (now.by_device or {})[Device(ONE)]
    assert (holder.pod, holder.container) == ("a", "")


def test_what_the_kubelet_gave_a_pod_of_a_group_is_no_group() -> None:
    directory, holdings = Directory(), Holdings(START, 60 * SECOND)
    placeholder = replace(an_object("holds", reserves="g"), reserves_uuid=THREE)
    quarter = GpuFraction("main", share_ppm=250_000)
    member = an_object("a", fractions=[replace(quarter, group="g"), replace(quarter, gpu_uuid=TWO)])
    directory.learn(ClusterReading(an_instant(START), "c", None, (placeholder, member)))
    holdings.heard(an_answer(START, {ONE: ["a"]}))
    now = Occupants(holdings, directory, tuple(a_gpu(uuid) for uuid in ALL)).at(START)
    assert {device.gpu_uuid for device in now.by_device or {}} == {TWO, THREE}
