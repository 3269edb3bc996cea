"""What the API server is asked, what its answers allow, and what happens when it does not give any."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gpucost.trouble import Reject, Retry
from gpucost.yaml_marks import parse_yaml

from contracts.certificates import Authority
from contracts.review_stage import PATH, Reviews, reviewing
from contracts.tls_stage import listening, saying
from gpucost_aggregator.access.api_server import ApiServer
from gpucost_aggregator.access.kube_rights import EVERY_NODE, EVERY_POD, KubeRights, ReviewLimits, pods_in
from gpucost_aggregator.access.kube_user import KubeUser, Naming
from gpucost_aggregator.access.readers_file import parse_readers
from gpucost_aggregator.access.refusal import Refused

ALICE = Naming("east", "oidc:", "oidc/").user("alice", ("dev", "ops"))
PODS = [pods_in("a"), pods_in("b")]


@dataclass
class Stage:
    reviews: Reviews
    server: ApiServer
    failures: list[str]

    def play(self, scene: Callable[[KubeRights], Coroutine[Any, Any, None]], **limits: Any) -> None:
        rights = KubeRights(self.server, self.failures.append, ReviewLimits(**limits))

        async def whole() -> None:
            async with asyncio.timeout(60):
                await scene(rights)

        try:
            asyncio.run(whole())
        finally:
            self.reviews.gate.set()
            rights.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with reviewing(tmp_path) as (reviews, server):
        yield Stage(reviews, server, [])


def test_a_question_is_about_listing_and_names_the_person_as_kubernetes_does(stage: Stage) -> None:
    async def scene(rights: KubeRights) -> None:
        assert await rights.held(ALICE, [pods_in("a")], 0) == set()
        (asked,) = stage.reviews.asked
        assert (asked["path"], asked["by"], asked["kind"]) == (PATH, "Bearer own", "SubjectAccessReview")
        assert asked["spec"] == {
            "user": "oidc:alice",
            "groups": ["oidc/dev", "oidc/ops", "system:authenticated"],
            "resourceAttributes": {
                "verb": "list", "group": "", "version": "v1", "resource": "pods", "namespace": "a",
            },
        }  # fmt: skip

    stage.play(scene)


@pytest.mark.parametrize("who", ["oidc:alice", "oidc/dev", "system:authenticated"])
def test_a_right_comes_by_name_by_group_and_as_everybodys(stage: Stage, who: str) -> None:
    stage.reviews.allowed = {(who, "pods", "b")}

    async def scene(rights: KubeRights) -> None:
        assert await rights.held(ALICE, [*PODS, EVERY_POD, EVERY_NODE], 0) == {pods_in("b")}

    stage.play(scene)


def test_an_answer_holds_for_a_while_and_for_the_one_whom_it_is_about(stage: Stage) -> None:
    stage.reviews.allowed = {("oidc:alice", "pods", "a")}

    async def scene(rights: KubeRights) -> None:
        assert await rights.held(ALICE, PODS, 100) == {pods_in("a")}
        stage.reviews.allowed = {("oidc:alice", "pods", "b")}
        assert await rights.held(ALICE, PODS, 109) == {pods_in("a")}
        assert len(stage.reviews.asked) == 2
        for other in (KubeUser("oidc:bob", ALICE.groups, "east"), KubeUser(ALICE.name, (), "east")):
            assert await rights.held(other, [pods_in("a")], 109) == set()
        assert len(stage.reviews.asked) == 4
        assert await rights.held(ALICE, PODS, 110) == {pods_in("b")}
        # A clock that went back makes nothing last longer.
        stage.reviews.allowed = set()
        assert await rights.held(ALICE, PODS, 5) == set()

    stage.play(scene, fresh_ns=10)


def test_as_many_answers_are_kept_as_there_is_room_for(stage: Stage) -> None:
    async def scene(rights: KubeRights) -> None:
        for name in "abcd":
            await rights.held(ALICE, [pods_in(name)], 0)
        stage.reviews.asked.clear()
        for name in "dcb":
            await rights.held(ALICE, [pods_in(name)], 1)
        assert stage.reviews.asked == []
        await rights.held(ALICE, [pods_in("a")], 1)
        assert stage.reviews.namespaces == ["a"]

    stage.play(scene, kept=3)


def test_so_many_questions_are_under_way_and_so_many_requests_wait(stage: Stage) -> None:
    async def scene(rights: KubeRights) -> None:
        stage.reviews.gate.clear()
        rows = [pods_in(f"n{number}") for number in range(20)]
        waiting = [asyncio.create_task(rights.held(ALICE, rows, 0)) for _ in range(2)]
        while stage.reviews.under_way < 3:
            await asyncio.sleep(0.01)
        with pytest.raises(Retry, match="2 requests wait"):
            await rights.held(ALICE, [pods_in("other")], 0)
        stage.reviews.gate.set()
        assert await asyncio.gather(*waiting) == [set(), set()]
        assert stage.reviews.under_way == 3
        assert await rights.held(ALICE, [pods_in("other")], 0) == set()

    stage.play(scene, under_way=3, waiting=2)
    assert len(stage.failures) == 1


REVIEW = b'{"status": {"allowed": %s}}'


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((201, b""), "Expecting value"),
        ((201, b"<html>"), "Expecting value"),
        ((201, b"[]"), "no object"),
        ((201, b"{}"), "'status'"),
        ((201, b'{"status": null}'), "without a status"),
        ((201, b'{"status": {}}'), "neither yes nor no"),
        ((201, REVIEW % b'"true"'), "neither yes nor no"),
        ((201, REVIEW % b"1"), "neither yes nor no"),
        ((201, REVIEW % b"null"), "neither yes nor no"),
        ((201, b"[" * 100_000), "recursion"),
        ((201, b" " * (2 << 20)), "more than 1048576 bytes"),
        ((403, REVIEW % b"true"), "HTTP 403.*system:auth-delegator"),
        ((500, REVIEW % b"true"), "HTTP 500"),
        ((302, REVIEW % b"true"), "HTTP 302"),
    ],
)
def test_what_is_no_answer_allows_nothing(stage: Stage, answer: tuple[int, bytes], words: str) -> None:
    stage.reviews.answers = [answer]

    async def scene(rights: KubeRights) -> None:
        with pytest.raises(Retry, match=words):
            await rights.held(ALICE, PODS, 0)
        # It was not remembered as a no either.
        stage.reviews.answers = [(201, REVIEW % b"true")]
        assert await rights.held(ALICE, PODS, 0) == set(PODS)

    stage.play(scene)
    assert len(stage.failures) == 1


def test_a_review_that_is_denied_and_allowed_is_denied(stage: Stage) -> None:
    stage.reviews.answers = [(201, json.dumps({"status": {"allowed": True, "denied": True}}).encode())]

    async def scene(rights: KubeRights) -> None:
        assert await rights.held(ALICE, PODS, 0) == set()

    stage.play(scene)


def test_a_redirect_is_not_followed_with_the_aggregators_token(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with reviewing(tmp_path / "other") as (elsewhere, there):
        elsewhere.answers = [(201, REVIEW % b"true")]
        stage.reviews.answers, stage.reviews.location = [(307, b"")], f"{there.url}{PATH}"

        async def scene(rights: KubeRights) -> None:
            with pytest.raises(Retry, match=r"HTTP 307 .* which is not followed"):
                await rights.held(ALICE, PODS, 0)

        stage.play(scene)
        assert elsewhere.asked == []


def test_a_slow_api_server_allows_nothing_and_what_it_said_by_then_is_kept(stage: Stage) -> None:
    stage.reviews.allowed = {("oidc:alice", "pods", "a")}

    async def scene(rights: KubeRights) -> None:
        assert await rights.held(ALICE, [pods_in("a")], 0) == {pods_in("a")}
        stage.reviews.gate.clear()
        with pytest.raises(Retry, match=r"longer than 0\.2 s"):
            await rights.held(ALICE, PODS, 1)
        assert await rights.held(ALICE, [pods_in("a")], 2) == {pods_in("a")}
        stage.reviews.gate.set()
        assert await rights.held(ALICE, PODS, 3) == {pods_in("a")}

    stage.play(scene, patience_s=0.2)


def test_one_failure_takes_the_answers_with_it_that_came_before(stage: Stage) -> None:
    stage.reviews.answers = [(201, REVIEW % b"true"), (500, b"")]

    async def scene(rights: KubeRights) -> None:
        with pytest.raises(Retry, match="HTTP 500"):
            await rights.held(ALICE, PODS, 0)

    stage.play(scene, under_way=1)


def test_the_api_server_is_known_by_its_authority(stage: Stage, tmp_path: Path) -> None:
    pair = Authority().pair(tmp_path / "api", "api", "localhost")
    other = Authority().pair(tmp_path / "other", "api", "localhost")

    async def known(rights: KubeRights) -> None:
        assert await rights.held(ALICE, PODS, 0) == set(PODS)

    async def unknown(rights: KubeRights) -> None:
        with pytest.raises(Retry, match="not good by the authority in"):
            await rights.held(ALICE, PODS, 0)

    with listening(saying(REVIEW % b"true", "201 Created"), pair) as api:
        for ca, scene in ((other.ca, unknown), (pair.ca, known)):
            stage.server = ApiServer(f"https://localhost:{api.port}", ca, stage.server.token)
            stage.play(scene)
        # Who is not known is not told the aggregator's token.
        assert len(api.asked) == len(PODS)


@pytest.mark.parametrize("changes", [{"url": "http://127.0.0.1:1"}, {"token": Path("absent")}])
def test_without_an_api_server_nobody_may_see_anything(stage: Stage, changes: dict[str, Any]) -> None:
    fields = {"url": stage.server.url, "ca": stage.server.ca, "token": stage.server.token, **changes}
    stage.server = ApiServer(**fields)

    async def scene(rights: KubeRights) -> None:
        with pytest.raises(Retry, match="system:auth-delegator"):
            await rights.held(ALICE, PODS, 0)

    stage.play(scene)
    assert len(stage.failures) == 1


@pytest.mark.parametrize("name", ["system:admin", "system:", "", "a\nb", "x" * 600, "half \udc80"])
def test_names_that_are_kubernetes_own_or_none_are_refused(name: str) -> None:
    with pytest.raises(Refused) as refused:
        Naming("east").user(name, ())
    assert "\udc80" not in refused.value.detail


def test_groups_that_are_kubernetes_own_are_left_out() -> None:
    said = ("system:masters", "dev", "dev", "system:authenticated", "a\nb", "half \udc80")
    assert Naming("east").user("alice", said).groups == ("dev", "system:authenticated")
    # With a prefix nobody elsewhere can name them anyway.
    assert Naming("east", "", "oidc:").user("alice", said[:1]).groups == (
        "oidc:system:masters", "system:authenticated",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("review: {}", "`cluster` is missing"),
        ("review: home", "review is"),
        ("review: {cluster: home, users: x}", "unknown key"),
        ("review: {cluster: home, user_prefix: 'system:'}", "Kubernetes' own names"),
        ('review: {cluster: home, user_prefix: "o\\u2028idc:"}', "nobody has a name"),
        (f"review: {{cluster: home, group_prefix: {'o' * 257}}}", "nobody has a name"),
        ("review: {cluster: home, group_prefix: 'system:x'}", "Kubernetes' own names"),
        ("readers: [{name: all, identity: '*'}]\nreview: {cluster: home}", "names everybody: keep one"),
    ],
)
def test_a_wrong_review_is_refused(text: str, words: str) -> None:
    with pytest.raises(Reject, match=words):
        parse_readers(parse_yaml(text, "readers.yaml"))
