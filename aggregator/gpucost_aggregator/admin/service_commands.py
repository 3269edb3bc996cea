"""`status`: which server answers at the admin socket."""

from gpucost.setting import Command

from gpucost_aggregator.admin.operator_command import Call, OperatorCommand


def _status(call: Call) -> int:
    for name, value in call.client.get("/status").items():
        call.line(f"{name.replace('_', ' '):20} {value}")
    return 0


COMMANDS = (
    OperatorCommand(Command("status", "Say which aggregator runs here, and what waits for you."), _status),
)
