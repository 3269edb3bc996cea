"""`backup PATH`, made by the running server; `restore PATH`, while none runs."""

from pathlib import Path

from gpucost.setting import Command, Setting
from gpucost.settings_values import path
from gpucost.system_clock import SystemClock

from gpucost_aggregator.admin.operator_command import Call, OperatorCommand

_TARGET = Setting[Path | None](
    "path", path, None, "Where the backup goes; a file that is not there yet.", required=True
)
_SOURCE = Setting[Path | None]("path", path, None, "The backup, as `backup` made it.", required=True)


def _backup(call: Call) -> int:
    target = call.value(_TARGET)
    assert target is not None  # noqa: S101  # it is required
    # Where the command stands, not where the server does.
    made = call.client.post("/backup", {"path": str(target.absolute())})
    call.line(f"{made['path']}: {made['bytes']} bytes; the watermarks of {made['agents']} agents stand in")
    call.line(f"{made['statement']}")
    if made["messages"]:
        call.line(f"{made['messages']}: the messages of malformed batches, which belong to it")
    return 0


def _restore(call: Call) -> int:
    from gpucost_aggregator.store.duckdb_backup import restore_backup  # noqa: PLC0415  # other commands need no database
    from gpucost_aggregator.store.duckdb_opening import StoreOptions  # noqa: PLC0415

    source = call.value(_SOURCE)
    assert source is not None  # noqa: S101  # it is required
    done = restore_backup(source, call.data_dir, StoreOptions(), SystemClock().now().wall_ns)
    call.line(
        f"{call.data_dir}: store {done.identity.store_id}, generation {done.identity.generation} "
        f"(was {done.was.generation}), with the batches of {len(done.watermarks)} agents"
    )
    if done.files:
        call.line(f"with it came {', '.join(done.files)}")
    call.line("Start the aggregator: agents send again what they still have of the time since the backup.")
    return 0


COMMANDS = (
    OperatorCommand(
        Command(
            "backup",
            "Let the running aggregator copy its store to a new file, with what it holds of each agent beside it.",
            arguments=(_TARGET,),
        ),
        _backup,
    ),
    OperatorCommand(
        Command(
            "restore",
            "Make the store of an empty --data-dir from a backup; no aggregator runs there meanwhile.",
            arguments=(_SOURCE,),
        ),
        _restore,
    ),
)
