"""Other aggregators are asked over real sockets: who tells what, who is silent and named, and how rarely."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
import structlog
from gpucost.identity import NodeId
from gpucost.peers_wire import ToldGlimpse, glimpses_to_bytes
from gpucost.settings_source import HostPort
from gpucost.units import NS_PER_SECOND

from contracts.agent_process import free_port
from contracts.ledger_rows import MINUTE_NS, NODE, START_NS, a_slice
from contracts.live_glimpses import seen, tell
from contracts.replica_stage import (
    Handler,
    Replica,
    Wish,
    a_stranger,
    a_stranger_at,
    answering,
    play,
    replicas,
    silent,
)
from gpucost_aggregator.live.board import MOST_BYTES, MOST_BYTES_IN_ALL
from gpucost_aggregator.live.pace import SHORTEST_NS
from gpucost_aggregator.peers.calling import MOST_AT_ONCE
from gpucost_aggregator.peers.counts import Unanswered, Why
from gpucost_aggregator.peers.gathering import KEPT_NS, Told
from gpucost_aggregator.peers.names import look_up

NOW_NS = START_NS + 5 * MINUTE_NS
WEST = NodeId("west", "node-w")
NORTH = NodeId("north", "node-n")
HOSTS = ("127.0.0.2", "127.0.0.3")
PROTOBUF = "HTTP/1.1 200 OK\nContent-Type: application/x-protobuf"


def nodes(told: Told) -> list[NodeId]:
    return sorted(each.node for each in told.glimpses)


def put(replica: Replica, node: NodeId, age_s: float = 0) -> None:
    """A node whose stream ends there told of itself some time ago."""
    tell(replica.board, node, replica.clock.now(), seen(a_slice(node=node)))
    replica.clock.pass_ns(int(age_s * NS_PER_SECOND))


def test_each_tells_of_its_own_nodes_and_nobody_of_itself() -> None:
    async def scene() -> None:
        async with replicas(NOW_NS, Wish(), Wish(), Wish()) as (one, two, three):
            for replica, node in ((one, NODE), (two, WEST), (three, NORTH)):
                put(replica, node)
            told = await one.peers.told()
            assert nodes(told) == [NORTH, WEST]
            assert (told.answered, told.silent, told.interval_ns) == (2, (), SHORTEST_NS)
            # A question goes no further: the ones that were asked asked nobody.
            assert (one.counts.calls, two.counts.calls, three.counts.calls) == (3, 0, 0)
            assert (one.counts.answered_here, two.counts.answered_here) == (0, 1)
            assert (one.counts.others, one.counts.silent) == (2, 0)
            told = await three.peers.told()
            assert nodes(told) == [NODE, WEST]

    play(scene())


def test_ages_go_over_and_instants_do_not() -> None:
    async def scene() -> None:
        async with replicas(NOW_NS, Wish(), Wish()) as (one, two):
            put(two, WEST, age_s=7)
            (glimpse,) = (await one.peers.told()).glimpses
            assert one.clock.now().monotonic_ns - glimpse.received_ns == 7 * NS_PER_SECOND
            assert glimpse.taken_at_ns == NOW_NS

    play(scene())


def test_many_that_read_at_once_are_one_question_and_so_is_a_second() -> None:
    async def scene() -> None:
        async with replicas(NOW_NS, Wish(), Wish()) as (one, two):
            put(two, WEST)
            found = await asyncio.gather(*(one.peers.told() for _ in range(50)))
            assert all(told is found[0] for told in found)
            one.clock.pass_ns(KEPT_NS - 1)
            assert await one.peers.told() is found[0]
            assert one.counts.calls == 2
            put(two, NORTH)
            one.clock.pass_ns(1)
            assert nodes(await one.peers.told()) == [NORTH, WEST]
            assert one.counts.calls == 4

    play(scene())


def test_whoever_goes_away_takes_nobodys_answer_along() -> None:
    async def scene() -> None:
        async with replicas(NOW_NS, Wish(), Wish()) as (one, two):
            put(two, WEST)
            waiting = [asyncio.create_task(one.peers.told()) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            assert nodes(await waiting[1]) == nodes(await waiting[2]) == [WEST]

    play(scene())


def test_nobody_is_asked_before_somebody_reads() -> None:
    async def scene() -> None:
        async with replicas(NOW_NS, Wish(), Wish()) as (one, two):
            put(two, WEST)
            for path in (
                "/healthz",
                "/readyz",
                "/metrics",
                "/",
                "/namespaces",
                "/models",
                "/api/v1/reports/idle",
            ):
                assert (await one.get(path))[0] == 200
            assert one.counts.calls == two.counts.answered_here == 0
            assert (await one.get("/api/v1/live"))[0] == 200
            assert two.counts.answered_here == 1

    play(scene())


async def to_nobody(_: AsyncExitStack) -> HostPort:
    return HostPort("127.0.0.1", free_port())


async def to_a_name(_: AsyncExitStack) -> HostPort:
    return HostPort("aggregators.invalid", 8080)


def to(handler: object) -> Callable[[AsyncExitStack], Awaitable[HostPort]]:
    async def begin(stack: AsyncExitStack) -> HostPort:
        return await stack.enter_async_context(a_stranger(handler))  # type: ignore[arg-type]  # of one type

    return begin


A_TOLD = glimpses_to_bytes("other", 9, [ToldGlimpse(NORTH, 1, 1, b"")])
MUCH = b"\0" * (MOST_BYTES_IN_ALL // 3 + 1)
REDIRECT = f"HTTP/1.1 302 Found\nLocation: http://127.0.0.1:{free_port()}/"


@pytest.mark.parametrize(
    ("begin", "why"),
    [
        (to_nobody, Why.UNREACHABLE),
        (to_a_name, Why.UNKNOWN_NAME),
        (to(silent), Why.TIMED_OUT),
        (to(answering(f"{PROTOBUF}\nContent-Length: 9")), Why.UNREACHABLE),
        (to(answering(PROTOBUF, b"\xff\xff\xff")), Why.UNREADABLE),
        (to(answering(PROTOBUF, glimpses_to_bytes("", 1, []))), Why.UNREADABLE),
        (to(answering(PROTOBUF, MUCH)), Why.TOO_LARGE),
        (to(answering("HTTP/1.1 200 OK\nContent-Type: text/html", A_TOLD)), Why.UNREADABLE),
        (to(answering("HTTP/1.1 404 Not Found\nContent-Type: application/json", b"{}")), Why.UNREADABLE),
        (to(answering("HTTP/1.1 401 Unauthorized\nContent-Type: application/json", b"{}")), Why.REFUSED),
        (to(answering(REDIRECT)), Why.UNREADABLE),
        (to(answering("SSH-2.0-OpenSSH_9.2")), Why.UNREACHABLE),
    ],
)
def test_who_does_not_answer_is_named_and_the_others_are_heard(
    begin: Callable[[AsyncExitStack], Awaitable[HostPort]], why: Why
) -> None:
    async def scene() -> None:
        async with AsyncExitStack() as stack:
            stranger = await begin(stack)
            wish = Wish(also=(stranger,), answer_s=0.5 if why in (Why.TIMED_OUT, Why.UNKNOWN_NAME) else 20)
            one, two = await stack.enter_async_context(replicas(NOW_NS, wish, Wish()))
            put(two, WEST)
            with structlog.testing.capture_logs() as logged:
                for _ in range(3):
                    told = await one.peers.told()
                    assert nodes(told) == [WEST]
                    assert (told.answered, told.silent) == (1, (str(stranger),))
                    one.clock.pass_ns(KEPT_NS)
            assert (one.counts.others, one.counts.silent, one.counts.failed) == (2, 1, {why: 3})
            # Once, and not at each question.
            assert [(each["event"], each["peer"], each["why"]) for each in logged] == [
                ("peer_silent", str(stranger), why.value)
            ]

    play(scene())


def test_who_answers_again_is_told_too() -> None:
    async def scene() -> None:
        async with replicas(NOW_NS, Wish(), Wish()) as (one, two):
            await two.server.close()
            with structlog.testing.capture_logs() as logged:
                assert (await one.peers.told()).silent == (str(two.address),)
                async with a_stranger_at(two.address, answering(PROTOBUF, glimpses_to_bytes("new", 9, []))):
                    one.clock.pass_ns(KEPT_NS)
                    told = await one.peers.told()
            assert (told.answered, told.silent, told.interval_ns) == (1, (), 9)
            assert [each["event"] for each in logged] == ["peer_silent", "peer_answers"]

    play(scene())


def in_turn(*handlers: Handler) -> Handler:
    """Each of them once, and the last one from then on."""
    left = list(handlers)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(reader, writer)

    return handle


def test_another_reason_is_told_again() -> None:
    refusing = answering("HTTP/1.1 401 Unauthorized\nContent-Type: application/json", b"{}")
    unknown = answering("HTTP/1.1 404 Not Found\nContent-Type: application/json", b"{}")

    async def scene() -> None:
        async with (
            a_stranger(in_turn(refusing, refusing, unknown)) as stranger,
            replicas(NOW_NS, Wish(also=(stranger,))) as (one,),
        ):
            with structlog.testing.capture_logs() as logged:
                for _ in range(3):
                    await one.peers.told()
                    one.clock.pass_ns(KEPT_NS)
            assert [each["why"] for each in logged] == [Why.REFUSED.value, Why.UNREADABLE.value]

    play(scene())


def test_an_address_that_was_this_programs_may_become_anothers() -> None:
    own = answering(PROTOBUF, glimpses_to_bytes("replica-0", 9, []))

    async def scene() -> None:
        async with (
            a_stranger(in_turn(own, answering(PROTOBUF, A_TOLD))) as stranger,
            replicas(NOW_NS, Wish(also=(stranger,))) as (one,),
        ):
            assert (await one.peers.told()).answered == 0
            one.clock.pass_ns(KEPT_NS)
            assert (await one.peers.told()).answered == 1

    play(scene())


def test_one_that_answers_at_two_addresses_is_one() -> None:
    async def scene() -> None:
        async with AsyncExitStack() as stack:
            first, second = [
                await stack.enter_async_context(a_stranger(answering(PROTOBUF, A_TOLD))) for _ in "ab"
            ]
            slower = answering(PROTOBUF, glimpses_to_bytes("slower", 12, []))
            third = await stack.enter_async_context(a_stranger(slower))
            (one,) = await stack.enter_async_context(replicas(NOW_NS, Wish(also=(first, second, third))))
            told = await one.peers.told()
            assert (nodes(told), told.answered, told.interval_ns) == ([NORTH], 2, 9)

    play(scene())


def test_no_proxy_of_the_environment_gets_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with (
            a_stranger(answering(PROTOBUF, A_TOLD)) as proxy,
            replicas(NOW_NS, Wish(), Wish()) as (one, two),
        ):
            put(two, WEST)
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
                monkeypatch.setenv(name, f"http://{proxy}")
            for name in ("no_proxy", "NO_PROXY"):
                monkeypatch.delenv(name, raising=False)
            assert nodes(await one.peers.told()) == [WEST]

    play(scene())


def test_one_glimpse_that_is_too_large_is_left_out_alone() -> None:
    body = glimpses_to_bytes(
        "new",
        1,
        [ToldGlimpse(WEST, 1, 1, bytes(MOST_BYTES + 1)), ToldGlimpse(NORTH, 1, 1, bytes(MOST_BYTES))],
    )

    async def scene() -> None:
        async with (
            a_stranger(answering(PROTOBUF, body)) as stranger,
            replicas(NOW_NS, Wish(also=(stranger,))) as (one,),
        ):
            told = await one.peers.told()
            assert (nodes(told), told.unreadable) == ([NORTH], 1)

    play(scene())


def addresses(*hosts: str) -> Callable[[HostPort], Awaitable[tuple[HostPort, ...]]]:
    async def look_up(named: HostPort) -> tuple[HostPort, ...]:
        return tuple(HostPort(host, named.port) for host in hosts)

    return look_up


def test_a_name_with_several_addresses_means_each_of_them() -> None:
    async def scene() -> None:
        port = free_port()
        wish = Wish(
            named=(HostPort("aggregators", port),), look_up=addresses("127.0.0.2", "127.0.0.3", "127.0.0.4")
        )
        told_by = {
            host: glimpses_to_bytes(host, 1, [ToldGlimpse(NodeId(host, "n"), 1, 1, b"")]) for host in HOSTS
        }
        async with AsyncExitStack() as stack:
            for host in HOSTS:
                at = HostPort(host, port)
                await stack.enter_async_context(a_stranger_at(at, answering(PROTOBUF, told_by[host])))
            (one,) = await stack.enter_async_context(replicas(NOW_NS, wish))
            told = await one.peers.told()
            assert [node.cluster for node in nodes(told)] == list(HOSTS)
            assert (told.answered, told.silent) == (2, (f"127.0.0.4:{port}",))

    play(scene())


def test_a_name_with_addresses_of_both_kinds_stands_for_each_once() -> None:
    """An aggregator that listens on one kind only is not called silent on the other."""

    async def scene() -> None:
        at = HostPort("127.0.0.2", free_port())
        wish = Wish(named=(HostPort("aggregators", at.port),), look_up=addresses("::1", at.host))
        handler = answering(PROTOBUF, glimpses_to_bytes("other", 1, []))
        async with a_stranger_at(at, handler), replicas(NOW_NS, wish) as (one,):
            told = await one.peers.told()
            assert (told.answered, told.silent) == (1, ())

    play(scene())


def test_a_resolver_that_takes_long_keeps_nobody_and_is_asked_once() -> None:
    asked: list[HostPort] = []
    may_answer = asyncio.Event()

    async def slowly(named: HostPort) -> tuple[HostPort, ...]:
        if named.host != "slow":
            return (named,)
        asked.append(named)
        await may_answer.wait()
        return (HostPort("127.0.0.2", named.port),)

    async def scene() -> None:
        slow = HostPort("slow", free_port())
        wish = Wish(also=(slow,), look_up=slowly, answer_s=0.05)
        async with replicas(NOW_NS, wish, Wish()) as (one, two):
            put(two, WEST)
            for _ in range(3):
                told = await one.peers.told()
                assert (nodes(told), told.silent) == ([WEST], (str(slow),))
                one.clock.pass_ns(KEPT_NS)
            assert asked == [slow]
            may_answer.set()
            assert (await one.peers.told()).silent == (f"127.0.0.2:{slow.port}",)

    play(scene())


def test_more_addresses_than_are_asked_are_named_as_silent() -> None:
    async def scene() -> None:
        hosts = [f"127.0.1.{number}" for number in range(70)]
        wish = Wish(named=(HostPort("aggregators", free_port()),), look_up=addresses(*hosts))
        async with replicas(NOW_NS, wish) as (one,):
            told = await one.peers.told()
            assert (len(told.silent), one.counts.calls) == (70, MOST_AT_ONCE)

    play(scene())


def test_what_the_machine_itself_resolves() -> None:
    async def scene() -> None:
        assert HostPort("127.0.0.1", 80) in await look_up(HostPort("localhost", 80))
        assert await look_up(HostPort("127.0.0.9", 7)) == (HostPort("127.0.0.9", 7),)
        for name in ("aggregators.invalid", "a" * 64 + ".invalid", "..", "\u00e9" * 70):
            with pytest.raises(Unanswered):
                await look_up(HostPort(name, 80))

    play(scene())
