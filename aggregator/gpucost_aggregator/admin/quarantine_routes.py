"""The quarantine for operators: list, explain, replay."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from gpucost.cost_slice import COLUMNS
from gpucost.trouble import Reject
from gpucost.window import to_rfc3339

from gpucost_aggregator.admin.application import answer, body_of
from gpucost_aggregator.ingest.bounds import Breach
from gpucost_aggregator.ingest.quarantine import Explanation, Quarantine, Replayed
from gpucost_aggregator.store.quarantine_rows import QuarantineId, QuarantineScope, SetAside

MOST_ENTRIES = 10_000
_MOST_UNREADABLE = 20

_WAIT = "It stays until it passes, and counts as quarantined until then."
_REPLAY = "Nothing stands against it any more: `quarantine replay` it."
_UPGRADE = (
    "The agent wrote what this aggregator can not read, mostly as it is newer."
    " Upgrade the aggregator, then replay it."
)


def quarantine_routes(quarantine: Quarantine) -> list[web.RouteDef]:
    """`GET /quarantine`, `GET /quarantine/ID`, `POST /quarantine/replay`."""

    async def list_(request: web.Request) -> web.Response:
        query = request.query
        limit = _number(query.get("limit", "100"), "limit", MOST_ENTRIES)
        page = await quarantine.page(_scope(query), query.get("cursor") or None, limit)
        return answer({"entries": [_entry(each) for each in page.entries], "next_cursor": page.next_cursor})

    async def explain(request: web.Request) -> web.Response:
        found = await quarantine.explain(QuarantineId.read(request.match_info["id"]))
        return answer(_explained(found))

    async def replay(request: web.Request) -> web.Response:
        body = await body_of(request)
        ids = body.get("ids", [])
        if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
            raise Reject("ids are a list of texts")
        if ids:
            wanted = list(dict.fromkeys(QuarantineId.read(each) for each in ids))
            return answer(_done(await quarantine.replay(wanted)))
        if not body.get("all") and not body.get("reason"):
            raise Reject("say what to replay: ids, all, or a reason")
        return answer(_done(await quarantine.replay_all(_scope(body))))

    return [
        web.get("/quarantine", list_),
        web.get("/quarantine/{id}", explain),
        web.post("/quarantine/replay", replay),
    ]


def _scope(said: Mapping[str, Any]) -> QuarantineScope:
    whole = QuarantineScope()
    return QuarantineScope(
        clusters=_words(said.get("cluster", "")),
        nodes=_words(said.get("node", "")),
        reason=str(said.get("reason", "")),
        since_ns=_number(str(said.get("since_ns", 0)), "since_ns", whole.until_ns),
        until_ns=_number(str(said.get("until_ns", whole.until_ns)), "until_ns", whole.until_ns),
        replayed=str(said.get("replayed", "")) == "true",
    )


def _words(text: object) -> tuple[str, ...]:
    return tuple(word for word in str(text).split(",") if word)


def _number(text: str, name: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= most):
        raise Reject(f"{name}: {text!r} is no number up to {most}")
    return int(text)


def _entry(entry: SetAside) -> dict[str, Any]:
    row = entry.row
    return {
        "id": str(entry.id),
        "kind": "batch" if row is None else "slice",
        "cluster": entry.agent.node.cluster,
        "node": entry.agent.node.node,
        "set_aside": to_rfc3339(entry.received_at_ns),
        "reason": entry.reason,
        "window_start_ns": None if row is None else row.key.window_start_ns,
        "charged_ns": None if row is None else row.time.charged_ns,
        "message_bytes": entry.message_bytes,
        "tried": None if entry.tried_at_ns is None else to_rfc3339(entry.tried_at_ns),
        "replayed": None if entry.replayed_at_ns is None else to_rfc3339(entry.replayed_at_ns),
    }


def _explained(found: Explanation) -> dict[str, Any]:
    entry = found.entry
    said = _entry(entry) | {
        "epoch": entry.agent.epoch,
        "sequence_number": entry.sequence_number,
        "slice": None if entry.row is None else {name: text(entry.row) for name, text in COLUMNS.items()},
        "broke_then": [_breach(each) for each in found.then],
        "breaks_now": [_breach(each) for each in found.now],
        "readable_slices": None,
        "unreadable": [],
    }
    if found.read is not None:
        content = found.read.content
        said["readable_slices"] = 0 if content is None else len(content.slices)
        said["unreadable"] = [each.reason for each in found.read.unreadable[:_MOST_UNREADABLE]]
    return said | {"what_to_do": _advice(found)}


def _advice(found: Explanation) -> list[str]:
    if found.entry.replayed_at_ns is not None:
        return ["It was replayed already; nothing is left to do."]
    if found.read is not None:
        return [_UPGRADE, _WAIT] if found.read.unreadable else [_REPLAY]
    if not found.now:
        return [_REPLAY]
    return [*dict.fromkeys(each.advice for each in found.now), _WAIT]


def _breach(breach: Breach) -> dict[str, str]:
    return {"words": breach.words, "said": breach.said, "bound": breach.bound}


def _done(done: Replayed) -> dict[str, Any]:
    return {
        "replayed": done.replayed,
        "stayed": done.stayed,
        "already": done.already,
        "unknown": done.unknown,
        "ids": done.left,
        "reasons": done.kept_back,
        "slices_written": done.slices_written,
        "slices_known": done.slices_known,
        "conflicts": done.conflicts,
    }
