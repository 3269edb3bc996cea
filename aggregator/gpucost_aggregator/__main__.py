"""The program gpucost-aggregator: its commands, and its exit codes."""

import asyncio
import os
import sys
from collections.abc import Sequence

from gpucost import __version__, logs
from gpucost.trouble import Stop

from gpucost_aggregator.admin.commands import OPERATOR_COMMANDS
from gpucost_aggregator.admin.operator_command import Call
from gpucost_aggregator.settings import PROGRAM, read_command


def main(argv: Sequence[str] | None = None) -> int:
    """
    Do what *argv* (or the command line) says.

    Returns:
        0; 2 settings or usage, 4 permission, 5 store locked or of a newer schema, 6 port in use.
    """
    try:
        loaded, settings = read_command(sys.argv[1:] if argv is None else argv, os.environ)
        command = loaded.command
        if command == "version":
            sys.stdout.write(f"{PROGRAM.name} {__version__}\n")
            return 0
        if command in OPERATOR_COMMANDS:
            call = Call(loaded, settings.data_dir, settings.admin_socket, sys.stdout.write)
            return OPERATOR_COMMANDS[command].act(call)
        logs.configure(settings.log_format, settings.log_level)
        if command == "check":
            from gpucost_aggregator.checking import check  # noqa: PLC0415  # `version` and usage need no database

            code = 0
            for finding in check(settings):
                sys.stdout.write(f"{finding}\n")
                code = code or finding.exit_code
            return code
        from gpucost_aggregator.app import run  # noqa: PLC0415  # as above

        # Whoever reads the store's files reads every bill, past all that readers may see; the folder may be older.
        os.umask(0o077)
        asyncio.run(run(settings))
    except Stop as trouble:
        sys.stderr.write(f"{PROGRAM.name}: {trouble}\n")
        return trouble.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
