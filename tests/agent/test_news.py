"""Facts travel once, once per change, and again hourly or on a new stream."""

from dataclasses import replace

from gpucost.cost_slice import CostSlice
from gpucost.price_book import GpuContext

from contracts.books_by_hand import HOUR, MINUTE, ONE, START, a_gpu, close_all, hear, new_books
from gpucost_agent.news import News
from gpucost_agent.readings import Pod

POD = Pod("ns", "a", "uid-a", "Running", {"team": "ml"}, {"gpucost.dev/model": "m"}, "Job", "train", ())
OTHER = replace(POD, name="b", uid="uid-b")


def slices(*pods: str) -> tuple[CostSlice, ...]:
    books = new_books()
    hear(books, START, START + MINUTE, {ONE: pods})
    return close_all(books, START + 2 * MINUTE)[0].slices


def uids(news: News, held: tuple[CostSlice, ...], *pods: Pod, at_ns: int = START) -> list[str]:
    return [fact.pod_uid for fact in news.of(held, pods, at_ns)]


def test_a_pod_is_told_of_once() -> None:
    news, held = News(), slices("a")
    (fact,) = news.of(held, [POD], START)
    assert (fact.namespace, fact.pod, fact.pod_uid, fact.valid_from_ns) == ("ns", "a", "uid-a", START)
    assert (fact.labels, fact.annotations) == ({"team": "ml"}, {"gpucost.dev/model": "m"})
    assert (fact.owner_kind, fact.owner_name) == ("Job", "train")
    assert uids(news, held, POD, at_ns=START + MINUTE) == []


def test_pods_that_hold_nothing_are_not_told_of() -> None:
    assert uids(News(), slices("a"), POD, OTHER) == ["uid-a"]
    assert uids(News(), slices(), POD) == []


def test_a_pod_that_is_learned_late_is_told_of_then() -> None:
    news, held = News(), slices("a")
    assert uids(news, held) == []
    assert uids(news, held, POD, at_ns=START + MINUTE) == ["uid-a"]


def test_a_change_is_told_with_the_instant_from_which_it_holds() -> None:
    news, held = News(), slices("a")
    uids(news, held, POD)
    (fact,) = news.of(held, [replace(POD, labels={"team": "web"})], START + MINUTE)
    assert (fact.labels, fact.valid_from_ns) == ({"team": "web"}, START + MINUTE)


def test_two_pods_of_one_name_are_two() -> None:
    assert uids(News(), slices("a"), POD, replace(POD, uid="uid-2")) == ["uid-a", "uid-2"]


def test_everything_is_told_again_after_an_hour() -> None:
    news, held = News(), slices("a")
    uids(news, held, POD)
    assert uids(news, held, POD, at_ns=START + HOUR - MINUTE) == []
    assert uids(news, held, POD, at_ns=START + HOUR) == ["uid-a"]
    assert uids(news, held, POD, at_ns=START + HOUR + MINUTE) == []


def test_everything_is_told_again_on_a_new_stream() -> None:
    news, held = News(), slices("a")
    uids(news, held, POD)
    news.tell_again()
    assert uids(news, held, POD, at_ns=START + MINUTE) == ["uid-a"]


def test_gpus_are_told_of_once_and_once_per_change() -> None:
    news = News()
    here = GpuContext("c", {"node.kubernetes.io/instance-type": "p5"}, {}, "NVIDIA H100", (ONE,))
    moved = GpuContext("c", {"node.kubernetes.io/instance-type": "p6"}, {}, "NVIDIA H100", (ONE,))
    (fact,) = news.of_gpus([a_gpu()], {ONE: here}, START)
    assert (fact.gpu_uuid, fact.model, fact.memory_bytes, fact.instance_type) == (
        ONE,
        "NVIDIA H100",
        80 << 30,
        "p5",
    )
    assert news.of_gpus([a_gpu()], {ONE: here}, START + MINUTE) == ()
    assert [each.instance_type for each in news.of_gpus([a_gpu()], {ONE: moved}, START + MINUTE)] == ["p6"]
    news.tell_again()
    assert len(news.of_gpus([a_gpu()], {ONE: moved}, START + MINUTE)) == 1
