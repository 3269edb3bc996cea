"""Who may read: refused without a token, and never told more than their part, in no sum and no remainder."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from gpucost.trouble import Reject, Stop
from gpucost.yaml_marks import parse_yaml

from contracts.asking import Answer, Web
from contracts.ledger_rows import GPU, MINUTE_NS, POD, START_NS, a_batch, a_free_slice, a_slice
from contracts.memory_store import MemoryStore
from gpucost_aggregator.access.readers import Proxy, ReaderAccess, bearer_of
from gpucost_aggregator.access.readers_file import parse_readers
from gpucost_aggregator.access.watched_file import WatchedFile

ALL, EAST, RESEARCH, NOBODY = ("all-" * 6, "east-" * 6, "research-" * 3, "nobody-" * 4)
FILE = f"""
readers:
  - name: finance
    token: {ALL}
  - name: east
    token_sha256: {hashlib.sha256(EAST.encode()).hexdigest()}
    clusters: [east]
  - name: research
    token: {RESEARCH}
    namespaces: [research]
  - name: alice
    identity: alice@example.com
    namespaces: [research]
"""
PATHS = (
    *(f"/api/v1/reports/{name}" for name in ("namespaces", "models", "idle", "shadow")),
    *("/api/v1/slices", "/api/v1/openapi.json", "/", "/namespaces", "/models", "/idle", "/nothing-here"),
)
WINDOW = "window=2025-01-01T00:00:00Z,2027-01-01T00:00:00Z"


@pytest.fixture
def web() -> Web:
    store = MemoryStore()
    west = replace(a_slice(1).key.node, cluster="west", node="node-w")
    secret = replace(POD, namespace="secret-project", pod="secret-pod", pod_uid="uid-s")
    other_gpu = replace(GPU, gpu_uuid="GPU-00000000-0000-0000-0000-00000000000f")
    agent, closed = a_batch(1).agent, {"closed_through_ns": START_NS + 2 * MINUTE_NS}
    store.commit(
        [
            a_batch(1, a_slice(0), a_slice(0, device=other_gpu, holder=secret), a_free_slice(1), **closed),
            a_batch(1, a_slice(0, node=west), agent=replace(agent, node=west), **closed),
        ]
    )
    access = ReaderAccess(
        lambda: parse_readers(parse_yaml(FILE, "readers.yaml")), Proxy((ip_network("127.0.0.0/8"),))
    )
    return Web(store, START_NS + 5 * MINUTE_NS, access=access)


def ask(web: Web, path: str, token: str = "", **headers: str) -> Answer:
    shown = {"Authorization": f"Bearer {token}"} if token else {}
    return web.get(path, headers={**shown, **headers})


@pytest.mark.parametrize("path", PATHS)
def test_who_is_nobody_learns_nothing(web: Web, path: str) -> None:
    basic = base64.b64encode(f"me:{NOBODY}".encode()).decode()
    refused = (
        {},
        {"Authorization": f"Bearer {NOBODY}"},
        {"Authorization": f"Basic {basic}"},
        {"Authorization": "Basic !"},
        {"Authorization": f"Bearer {ALL}x"},
        {"Authorization": f"Bearer {hashlib.sha256(EAST.encode()).hexdigest()}"},
        {"X-Forwarded-User": "mallory@example.com"},
    )
    texts = set()
    for headers in refused:
        answer = web.get(path, headers=headers)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        texts.add(answer.text)
    assert len(texts) == 1
    assert not {"research", "east", "finance", "alice"} & set(texts.pop().split())


def test_probes_and_metrics_stay_open(web: Web) -> None:
    assert [ask(web, path).status for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3


def test_a_token_comes_as_bearer_as_password_or_by_the_proxy(web: Web) -> None:
    basic = base64.b64encode(f"anything:{ALL}".encode()).decode()
    for headers in (
        {"Authorization": f"Bearer {ALL}"},
        {"authorization": f"bearer {ALL}"},
        {"Authorization": f"Basic {basic}"},
        {"X-Forwarded-User": "alice@example.com"},
    ):
        assert web.get("/api/v1/reports/namespaces", headers=headers).status == 200


@pytest.mark.parametrize("bytes_that_are_no_text", ["Bearer \udcff", f"Bearer {ALL}\udcff"])
def test_bytes_that_are_no_text_are_no_token(bytes_that_are_no_text: str) -> None:
    assert bearer_of(f"Bearer {ALL}") == ALL
    # So does the server read what is not UTF-8.
    assert bearer_of(bytes_that_are_no_text) == ""


def test_a_header_of_somebody_else_is_not_believed(web: Web) -> None:
    far = replace(web.access, proxy=Proxy((ip_network("10.0.0.0/8"),)))
    answer = replace(web, access=far).get("/", headers={"X-Forwarded-User": "alice@example.com"})
    assert answer.status == 401


def whole_text(web: Web, token: str) -> str:
    """Everything that a reader can see, as one text."""
    found = []
    for path in PATHS[:-1]:
        for more in ("", "&format=csv") if path.startswith("/api/v1/reports") else ("",):
            answer = ask(web, f"{path}?{WINDOW}{more}" if "openapi" not in path else path, token)
            assert answer.status == 200, answer.text
            found.append(answer.text)
    return "\n".join(found)


def test_a_reader_of_a_namespace_sees_that_alone(web: Web) -> None:
    assert "secret" in whole_text(web, ALL)
    assert "node-w" in whole_text(web, ALL)
    assert "secret" not in whole_text(web, RESEARCH)


def test_a_reader_of_a_cluster_sees_that_alone(web: Web) -> None:
    seen = whole_text(web, EAST)
    assert "secret-project" in seen
    assert "west" not in seen
    assert "node-w" not in seen


def test_sums_and_remainders_are_those_of_the_part(web: Web) -> None:
    def body(token: str, more: str = "") -> Any:
        return ask(web, f"/api/v1/reports/namespaces?{WINDOW}{more}", token).json

    everything, part = body(ALL), body(RESEARCH)
    assert int(everything["total"]["charged_ns"]) == 4 * MINUTE_NS
    assert int(part["total"]["charged_ns"]) == 2 * MINUTE_NS
    assert "unallocated" in everything["remainders"]
    assert set(part["remainders"]) == {"unpriced", "quarantined"}
    assert {row["namespace"] for row in part["rows"]} == {"research"}
    assert part["silent_nodes"] == []
    csv = ask(web, f"/api/v1/reports/namespaces?{WINDOW}&format=csv", RESEARCH).text
    assert "remainder" not in "".join(csv.splitlines()[1:])
    assert body(RESEARCH) == body(RESEARCH, "&namespace=research")


@pytest.mark.parametrize("name", ["secret-project", "no-such-namespace", "research,secret-project"])
def test_asking_for_more_is_refused_whether_it_exists_or_not(web: Web, name: str) -> None:
    for path in ("/api/v1/reports/models", "/api/v1/slices", "/"):
        answer = ask(web, f"{path}?namespace={name}", RESEARCH)
        assert answer.status == 403
        assert "you may see research" in answer.text
    assert ask(web, "/api/v1/reports/idle?cluster=west", EAST).status == 403


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("readers:\n  - token: " + ALL, "`name` is missing"),
        ("readers:\n  - name: a", "needs one of"),
        ("readers:\n  - name: a\n    token: short-secret", "too short"),
        ("readers:\n  - name: a\n    token_sha256: abc", "no SHA-256"),
        (f"readers:\n  - name: a\n    token: {ALL}\n    clusters: []", "empty list"),
        (f"readers:\n  - name: a\n    token: {ALL}\n    cluster: x", "unknown key"),
    ],
)
def test_a_wrong_file_is_refused_and_told_without_its_tokens(text: str, words: str) -> None:
    with pytest.raises(Reject, match=words) as trouble:
        parse_readers(parse_yaml(text, "readers.yaml"))
    assert ALL not in str(trouble.value)
    assert "short-secret" not in str(trouble.value)


def test_a_file_is_read_again_and_a_wrong_one_does_no_harm(tmp_path: Path) -> None:
    told: list[str] = []
    file = tmp_path / "readers.yaml"
    with pytest.raises(Stop, match="can not be read"):
        WatchedFile("--readers-file", file, parse_readers, told.append)
    file.write_text(FILE)
    watched = WatchedFile("--readers-file", file, parse_readers, told.append)
    value: Callable[[], int] = lambda: len(watched.value().entries)  # noqa: E731
    assert value() == 4
    file.write_text("readers: what")
    assert (value(), value(), len(told)) == (4, 4, 1)
    file.write_text("")
    assert value() == 0
