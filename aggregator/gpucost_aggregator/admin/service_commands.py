"""`status`: which server answers at the admin socket."""

from gpucost.setting import Command

from gpucost_aggregator.admin.operator_command import Call, OperatorCommand


def _status(call: Call) -> int:
    for name, value in call.client.get("/status").items():
        call.line(f"{name.replace('_', ' '):20} {_words(value)}")
    return 0


def _words(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return value


COMMANDS = (
    OperatorCommand(
        Command(
            "status",
            "Say which aggregator runs here, whether writers and readers are asked who they are, and which nodes "
            "have two agents.",
        ),
        _status,
    ),
)
