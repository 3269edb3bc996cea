"""`quarantine list`, `quarantine explain ID`, `quarantine replay [ID ...]`."""

from collections.abc import Mapping
from typing import Any

from gpucost import format as fmt
from gpucost.setting import Command, Setting
from gpucost.settings_values import boolean, integer, text, words
from gpucost.trouble import EXIT_SETTINGS, Stop
from gpucost.window import from_rfc3339, to_rfc3339

from gpucost_aggregator.admin.operator_command import Call, OperatorCommand


def _time(written: str) -> int:
    try:
        return from_rfc3339(written)
    except (ValueError, OverflowError):
        raise ValueError(f"{written!r} is no time: write it as 2026-11-21T08:00:00Z") from None


_CLUSTER = Setting[str | None]("cluster", text, None, "Only of these clusters, with commas between.")
_NODE = Setting[str | None]("node", text, None, "Only of these nodes, with commas between.")
_REASON = Setting[str | None](
    "reason", text, None, "Only with these words in the reason; case does not matter."
)
_SINCE = Setting[int | None]("since", _time, None, "Only what was set aside at that time or later, RFC 3339.")
_UNTIL = Setting[int | None]("until", _time, None, "Only what was set aside before that time, RFC 3339.")
_LIMIT = Setting[int](
    "limit", integer(1, 10_000), 100, "The most lines; a page is as long as a screen or two."
)
_CURSOR = Setting[str | None]("cursor", text, None, "Begin where the page before ended, as it said there.")
_REPLAYED = Setting[bool](
    "replayed", boolean, False, "Also what was replayed already; it is kept for the record."
)
_ALL = Setting[bool](
    "all", boolean, False, "All that waits, within the other flags. Off, as it may be very much."
)
_ID = Setting[tuple[str, ...]]("id", words, (), "Ids as `quarantine list` shows them.", required=True)
_IDS = Setting[tuple[str, ...]]("id", words, (), "Ids as `quarantine list` shows them.")

_SCOPE = (_CLUSTER, _NODE, _REASON, _SINCE, _UNTIL)


def _scope(call: Call) -> dict[str, object]:
    said = {
        "cluster": call.value(_CLUSTER),
        "node": call.value(_NODE),
        "reason": call.value(_REASON),
        "since_ns": call.value(_SINCE),
        "until_ns": call.value(_UNTIL),
    }
    return {name: value for name, value in said.items() if value is not None}


def _list(call: Call) -> int:
    asked = _scope(call) | {"limit": call.value(_LIMIT), "replayed": str(call.value(_REPLAYED)).lower()}
    page = call.client.get("/quarantine", asked | {"cursor": call.value(_CURSOR)})
    for entry in page["entries"]:
        call.line(
            f"{entry['id']:8} {entry['set_aside']:20.20}  {entry['cluster']}/{entry['node']}  {_what(entry)}  "
            f"{entry['reason']}{_state(entry)}"
        )
    if not page["entries"]:
        call.line("nothing waits")
    if page["next_cursor"]:
        call.line(f"there is more: --cursor={page['next_cursor']}")
    return 0


def _what(entry: Mapping[str, Any]) -> str:
    if entry["kind"] == "batch":
        return f"batch of {entry['message_bytes']} bytes"
    hours = fmt.gpu_hours(entry["charged_ns"], 4)
    return f"window {_instant(entry['window_start_ns'])}, {hours} GPU-hours"


def _instant(ns: int) -> str:
    try:
        return to_rfc3339(ns)
    except (ValueError, OverflowError):
        return f"{ns} ns"


def _state(entry: Mapping[str, Any]) -> str:
    if entry["replayed"]:
        return f" (replayed {entry['replayed']})"
    return f" (tried {entry['tried']})" if entry["tried"] else ""


def _explain(call: Call) -> int:
    for place, wanted in enumerate(call.value(_ID)):
        if place:
            call.line()
        _tell(call, call.client.get(f"/quarantine/{wanted}"))
    return 0


def _tell(call: Call, found: Mapping[str, Any]) -> None:
    call.line(f"{found['id']}: a {found['kind']} of {found['cluster']}/{found['node']}")
    call.line(f"  set aside   {found['set_aside']}{_state(found)}")
    call.line(f"  brought by  batch {found['sequence_number']} of the agent's epoch {found['epoch']}")
    call.line(f"  reason      {found['reason']}")
    for name, kept in (("broke then", "broke_then"), ("breaks now", "breaks_now")):
        for breach in found[kept]:
            sides = f": {breach['said']}, against {breach['bound']}" if breach["said"] else ""
            call.line(f"  {name}  {breach['words']}{sides}")
    if found["kind"] == "batch":
        call.line(f"  readable    {found['readable_slices']} slices; {found['message_bytes']} bytes in all")
        for reason in found["unreadable"]:
            call.line(f"  unreadable  {reason}")
    for line in found["what_to_do"]:
        call.line(f"  what to do  {line}")
    for name, value in (found["slice"] or {}).items():
        call.line(f"    {name:32} {value or '-'}")


def _replay(call: Call) -> int:
    ids, everything, scope = call.value(_IDS), call.value(_ALL), _scope(call)
    if ids and (everything or scope):
        raise Stop("quarantine replay: give ids, or flags that say which, and not both", EXIT_SETTINGS)
    if not (ids or everything or "reason" in scope):
        raise Stop("quarantine replay: say which: ids, --reason TEXT, or --all", EXIT_SETTINGS)
    done = call.client.post("/quarantine/replay", {"ids": list(ids), "all": everything, **scope})
    call.line(
        f"replayed {done['replayed']}, stayed {done['stayed']}; "
        f"{done['slices_written']} slices count now, {done['slices_known']} were known already"
    )
    if done["conflicts"]:
        call.line(
            f"{done['conflicts']} of another content than what counts already; they are with the conflicts"
        )
    if done["already"]:
        call.line(f"{done['already']} were replayed before")
    for wanted, reason in done["reasons"].items():
        call.line(f"{wanted} stays: {reason}")
    for wanted in done["unknown"]:
        call.line(f"{wanted} is not in the quarantine")
    return 0


COMMANDS = (
    OperatorCommand(
        Command(
            "quarantine list",
            "List what was set aside as unacceptable and waits, the oldest first.",
            flags=(*_SCOPE, _LIMIT, _CURSOR, _REPLAYED),
        ),
        _list,
    ),
    OperatorCommand(
        Command(
            "quarantine explain",
            "Say why something was set aside, with all of its fields, and what to do.",
            arguments=(_ID,),
        ),
        _explain,
    ),
    OperatorCommand(
        Command(
            "quarantine replay",
            "Check anew what waits; what passes counts from then on, what does not stays and says why.",
            flags=(*_SCOPE, _ALL),
            arguments=(_IDS,),
        ),
        _replay,
    ),
)
