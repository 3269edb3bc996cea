"""Readers whom Kubernetes knows: they see their namespaces of its cluster, in no face and no sum anything else."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from gpucost.cost_slice import CostSlice
from gpucost.identity import Holder
from gpucost.units import NS_PER_DAY, NS_PER_SECOND
from gpucost.yaml_marks import parse_yaml

from contracts.asking import Answer, Web
from contracts.hand_clock import HandClock
from contracts.ledger_rows import GPU, MINUTE_NS, NODE, POD, START_NS, a_batch, a_free_slice, a_slice
from contracts.live_glimpses import seen, tell
from contracts.memory_store import MemoryStore
from contracts.review_stage import Reviews, reviewing
from gpucost_aggregator.access.api_server import ApiServer
from gpucost_aggregator.access.kube_rights import KubeRights, ReviewLimits
from gpucost_aggregator.access.readers import Proxy, ReaderAccess
from gpucost_aggregator.access.readers_file import parse_readers
from gpucost_aggregator.api.kube_scope import MOST_NAMESPACES
from gpucost_aggregator.live.board import Board
from gpucost_aggregator.store.rows import AgentId

FILE = """
readers:
  - name: named
    identity: named@example.com
    namespaces: [chat]
review:
  cluster: east
  user_prefix: "oidc:"
"""
WINDOW = "window=2025-01-01T00:00:00Z,2027-01-01T00:00:00Z"
REPORTS = tuple(f"/api/v1/reports/{name}" for name in ("namespaces", "models", "idle", "shadow"))
ROWS = ("/api/v1/slices", "/api/v1/adjustments")
PAGES = ("/", "/namespaces", "/models", "/idle")
LIVE = "/api/v1/live"
WEST = replace(NODE, cluster="west", node="node-w")
SECRET = Holder(POD.kind, "secret-project", "secret-pod", "uid-s", "main")
CHAT = Holder(POD.kind, "chat", "chat-pod", "uid-c", "main")
IN_RESEARCH, IN_SECRET = ("oidc:alice", "pods", "research"), ("oidc:alice", "pods", "secret-project")
ALL_PODS, ALL_NODES = ("oidc:alice", "pods", ""), ("oidc:alice", "nodes", "")


def gpu(number: int) -> Any:
    return replace(GPU, gpu_uuid=f"GPU-00000000-0000-0000-0000-0000000000{number:02x}")


def rows(window: int = 0) -> Sequence[CostSlice]:
    return (
        a_slice(window),
        a_slice(window, device=gpu(14), holder=SECRET),
        a_slice(window, device=gpu(15), holder=CHAT),
        a_free_slice(window, device=gpu(16)),
    )


@dataclass
class Stage:
    web: Web
    reviews: Reviews
    failures: list[str]

    def ask(self, path: str, identity: str = "alice", groups: str = "") -> Answer:
        return self.web.get(path, headers={"X-Forwarded-User": identity, "X-Forwarded-Groups": groups})

    def json(self, path: str, identity: str = "alice") -> Any:
        answer = self.ask(path, identity)
        assert answer.status == 200, answer.text
        return answer.json

    def everything(self, identity: str = "alice") -> str:
        """All that a reader can see, as one text."""
        paths = [f"{path}?{WINDOW}{more}" for path in REPORTS + ROWS for more in ("", "&format=csv")]
        paths += [f"{path}?{WINDOW}" for path in PAGES] + [*PAGES, LIVE, f"{LIVE}?format=csv"]
        answers = [self.ask(path, identity) for path in paths]
        assert [answer.status for answer in answers] == [200] * len(paths)
        return "\n".join(answer.text for answer in answers)


def access_to(server: ApiServer, failures: list[str], file: str = FILE) -> ReaderAccess:
    return ReaderAccess(
        lambda: parse_readers(parse_yaml(file, "readers.yaml")),
        Proxy((ip_network("127.0.0.0/8"),), groups_header="X-Forwarded-Groups"),
        KubeRights(server, failures.append, ReviewLimits(patience_s=5)),
    )


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    store, now_ns = MemoryStore(), START_NS + 5 * MINUTE_NS
    closed = {"closed_through_ns": START_NS + 2 * MINUTE_NS}
    store.commit([a_batch(1, *rows(), **closed)])
    store.commit([a_batch(1, a_slice(0, node=WEST), agent=AgentId(WEST, "epoch-1"), **closed)])
    board, now = Board(), HandClock(now_ns).now()
    tell(board, NODE, now, *(seen(row) for row in rows()))
    tell(board, WEST, now, seen(a_slice(node=WEST)))
    failures: list[str] = []
    with reviewing(tmp_path) as (reviews, server):
        access = access_to(server, failures)
        yield Stage(Web(store, now_ns, access=access, board=board), reviews, failures)
        access.rights.close()


def test_a_namespace_whose_pods_they_may_list_is_all_that_they_see(stage: Stage) -> None:
    stage.reviews.allowed = {IN_RESEARCH}
    seen = stage.everything()
    assert "train-0" in seen
    for stranger in ("secret", "chat", "west", "node-w"):
        assert stranger not in seen
    report = stage.json(f"/api/v1/reports/namespaces?{WINDOW}")
    assert [(row["cluster"], row["namespace"]) for row in report["rows"]] == [("east", "research")]
    assert int(report["total"]["charged_ns"]) == MINUTE_NS
    assert set(report["remainders"]) == {"unpriced", "quarantined"}
    text = stage.ask(f"/api/v1/reports/namespaces?{WINDOW}&format=csv").text
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [(line["line"], line["namespace"]) for line in lines] == [("row", "research"), ("total", "")]
    live = stage.json(LIVE)
    assert [(row["cluster"], row["pod"]) for row in live["rows"]] == [("east", "train-0")]
    assert live["nodes"] == {"heard": None, "expected": None}
    assert stage.ask("/api/v1/quarantine").status == 403
    # The whole cluster is asked about first, and each namespace once for all of it.
    assert [asked["spec"]["resourceAttributes"]["namespace"] for asked in stage.reviews.asked[:2]] == ["", ""]
    assert stage.reviews.namespaces == ["chat", "research", "secret-project"]
    assert stage.failures == []


def test_who_may_list_all_pods_sees_all_namespaces_and_nothing_that_belongs_to_none(stage: Stage) -> None:
    stage.reviews.allowed = {ALL_PODS}
    report = stage.json(f"/api/v1/reports/namespaces?{WINDOW}")
    assert {row["namespace"] for row in report["rows"]} == {"research", "secret-project", "chat"}
    assert int(report["total"]["charged_ns"]) == 3 * MINUTE_NS
    assert set(report["remainders"]) == {"unpriced", "quarantined"}
    assert "node-w" not in stage.everything()
    assert stage.ask("/api/v1/quarantine").status == 403
    assert stage.reviews.namespaces == []


def test_who_may_list_all_nodes_too_sees_their_cluster_and_no_other(stage: Stage) -> None:
    stage.reviews.allowed = {ALL_PODS, ALL_NODES}
    report = stage.json(f"/api/v1/reports/namespaces?{WINDOW}")
    assert int(report["total"]["charged_ns"]) == 4 * MINUTE_NS
    assert int(report["remainders"]["unallocated"]["charged_ns"]) == MINUTE_NS
    assert stage.json(LIVE)["nodes"] == {"heard": 1, "expected": 1}
    assert "node-w" not in stage.everything()
    assert stage.ask("/api/v1/quarantine").status == 200
    assert stage.reviews.namespaces == []


def test_nodes_alone_show_nothing(stage: Stage) -> None:
    stage.reviews.allowed = {ALL_NODES}
    assert stage.ask("/").status == 403


@pytest.mark.parametrize("path", [*REPORTS, *ROWS, *PAGES, LIVE, "/api/v1/quarantine"])
def test_who_may_list_nothing_is_told_so_and_not_what_there_is(stage: Stage, path: str) -> None:
    texts = {
        stage.ask(f"{path}?namespace={name}").text for name in ("research", "secret-project", "no-such-one")
    }
    answer = stage.ask(path)
    assert answer.status == 403
    assert texts == {answer.text}
    assert "lets oidc:alice list the pods of no namespace" in answer.text


def test_asking_for_more_is_refused_whether_it_exists_or_not(stage: Stage) -> None:
    stage.reviews.allowed = {IN_RESEARCH}
    for name in ("secret-project", "no-such-one", "research,secret-project", "Bad_Name"):
        answer = stage.ask(f"/api/v1/slices?namespace={name}")
        assert (answer.status, "you may see research" in answer.text) == (403, True)
    for cluster in ("west", "north"):
        answer = stage.ask(f"/api/v1/slices?cluster={cluster}")
        assert (answer.status, "you may see east" in answer.text) == (403, True)
    whole = stage.json(f"{REPORTS[0]}?{WINDOW}")
    assert stage.json(f"{REPORTS[0]}?{WINDOW}&namespace=research&cluster=east") == whole


def test_a_group_gives_rights_and_kubernetes_own_groups_are_not_taken_from_a_proxy(stage: Stage) -> None:
    stage.reviews.allowed = {("dev", "pods", "research"), ("system:masters", "pods", "")}
    assert stage.ask("/", groups="ops").status == 403
    assert stage.ask("/", groups="system:masters").status == 403
    assert stage.ask("/", groups="ops, dev").status == 200
    assert replace(stage.web, access=replace(stage.web.access, proxy=Proxy((ip_network("127.0.0.0/8"),)))).get(
        "/", headers={"X-Forwarded-User": "alice", "X-Forwarded-Groups": "dev"}
    ).status == 403  # fmt: skip


def test_who_is_named_in_the_file_is_not_asked_about(stage: Stage) -> None:
    stage.reviews.allowed = {("oidc:named@example.com", "pods", "")}
    report = stage.json(f"{REPORTS[0]}?{WINDOW}", "named@example.com")
    assert {row["namespace"] for row in report["rows"]} == {"chat"}
    assert stage.reviews.asked == []
    # Nor is who comes without the proxy.
    far = replace(stage.web.access, proxy=Proxy((ip_network("10.0.0.0/8"),)))
    assert replace(stage.web, access=far).get("/", headers={"X-Forwarded-User": "alice"}).status == 401
    assert stage.ask("/", "").status == 401
    assert stage.reviews.asked == []


@pytest.mark.parametrize("path", [*REPORTS, *ROWS, *PAGES, LIVE, "/api/v1/quarantine"])
def test_an_api_server_that_gives_no_answer_shows_nobody_anything(stage: Stage, path: str) -> None:
    stage.reviews.answers = [(500, b'{"status": {"allowed": true}}')]
    answer = stage.ask(path)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert "east can not be asked what you may see" in answer.text
    assert "HTTP 500" in answer.text
    assert not {"research", "train-0", "node-1"} & set(answer.text.replace('"', " ").split())
    assert len(stage.failures) == 1


def test_a_right_that_is_taken_away_ends_within_half_a_minute(stage: Stage) -> None:
    stage.reviews.allowed = {IN_RESEARCH}
    assert stage.ask(LIVE).status == 200
    asked = len(stage.reviews.asked)
    stage.reviews.allowed = set()
    stage.web = replace(stage.web, monotonic_ns=stage.web.monotonic_ns + 30 * NS_PER_SECOND - 1)
    assert stage.ask(LIVE).status == 200
    assert len(stage.reviews.asked) == asked
    stage.web = replace(stage.web, monotonic_ns=stage.web.monotonic_ns + 1)
    assert stage.ask(LIVE).status == 403


def test_a_right_that_is_given_shows_as_soon(stage: Stage) -> None:
    assert stage.ask("/").status == 403
    stage.reviews.allowed = {IN_RESEARCH}
    stage.web = replace(stage.web, monotonic_ns=stage.web.monotonic_ns + 30 * NS_PER_SECOND)
    assert stage.ask("/").status == 200


def test_namespaces_that_held_nothing_in_the_window_are_not_asked_about(stage: Stage) -> None:
    store = MemoryStore()
    late = NS_PER_DAY // MINUTE_NS * 3
    old, new = a_slice(0, holder=SECRET), a_slice(late)
    store.commit([a_batch(1, old), a_batch(2, new, closed_through_ns=START_NS + (late + 1) * MINUTE_NS)])
    stage.web = replace(stage.web, store=store, now_ns=START_NS + (late + 2) * MINUTE_NS)
    stage.reviews.allowed = {IN_RESEARCH, IN_SECRET}
    stage.json(REPORTS[0])
    assert stage.reviews.namespaces == ["research"]
    # The overview tells of thirty days as well, whatever window it is about.
    assert stage.ask("/").status == 200
    assert stage.reviews.namespaces == ["research", "secret-project"]


def test_more_namespaces_than_are_asked_about_have_to_be_named(stage: Stage) -> None:
    holders = [replace(POD, namespace=f"n{number}", pod=f"p{number}") for number in range(MOST_NAMESPACES)]
    slices = [a_slice(1, device=gpu(20), holder=holder) for holder in holders]
    stage.web.store.commit([a_batch(2, *slices, closed_through_ns=START_NS + 2 * MINUTE_NS)])
    stage.reviews.allowed = {IN_RESEARCH}
    answer = stage.ask(f"{REPORTS[0]}?{WINDOW}")
    assert (answer.status, f"more than {MOST_NAMESPACES} namespaces" in answer.text) == (400, True)
    assert stage.reviews.namespaces == []
    (row,) = stage.json(f"{REPORTS[0]}?{WINDOW}&namespace=research")["rows"]
    assert (row["namespace"], stage.reviews.namespaces) == ("research", ["research"])
    names = ",".join(f"n{number}" for number in range(MOST_NAMESPACES + 1))
    assert stage.ask(f"{REPORTS[0]}?{WINDOW}&namespace={names}").status == 400
    # Whoever may list all pods needs no such question, and a page of theirs names no hundreds in its links.
    stage.reviews.allowed = {("oidc:bob", "pods", "")}
    assert len(stage.json(f"{REPORTS[0]}?{WINDOW}", "bob")["rows"]) == MOST_NAMESPACES + 3
    page = stage.ask(f"/namespaces?{WINDOW}", "bob").text
    assert f"{MOST_NAMESPACES + 3} namespaces" in page
    assert "n10,n100" not in page


def test_a_window_that_can_not_be_read_is_told(stage: Stage) -> None:
    for query in ("window=what", "window=1h&window=2h", "tz=Mars"):
        assert stage.ask(f"{REPORTS[0]}?{query}").status == 400


def test_who_may_see_two_namespaces_sees_who_shares_a_device_in_them(stage: Stage) -> None:
    stage.reviews.allowed = {IN_RESEARCH, IN_SECRET}
    report = stage.json(f"{REPORTS[0]}?{WINDOW}")
    assert {row["namespace"] for row in report["rows"]} == {"research", "secret-project"}
    report = stage.json(f"{REPORTS[0]}?{WINDOW}&namespace=research")
    assert {row["namespace"] for row in report["rows"]} == {"research"}
