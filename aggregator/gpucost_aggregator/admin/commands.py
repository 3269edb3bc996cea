"""All commands for operators, by name; each group is declared in a file of its own, which imports no server."""

from gpucost_aggregator.admin import (
    backup_commands,
    join_commands,
    prices_commands,
    quarantine_commands,
    reprice_commands,
    service_commands,
)
from gpucost_aggregator.admin.operator_command import OperatorCommand

OPERATOR_COMMANDS: dict[str, OperatorCommand] = {
    each.command.name: each
    for group in (
        service_commands,
        join_commands,
        quarantine_commands,
        backup_commands,
        prices_commands,
        reprice_commands,
    )
    for each in group.COMMANDS
}
"""Add a group: a file with ``COMMANDS``, named here."""
