"""`gpucost-agent`: argv -> settings -> app; and the exit code."""

import os
import sys

from gpucost import __version__
from gpucost.settings_source import CHECK, VERSION
from gpucost.system_clock import SystemClock
from gpucost.trouble import Stop

from gpucost_agent import app, settings
from gpucost_agent.check import check


def main() -> None:
    """Run the command that the arguments name; never returns, as a stuck driver call would hold the process."""
    try:
        exit_code = _run(sys.argv[1:])
    except Stop as trouble:
        sys.stderr.write(f"gpucost-agent: {trouble}\n")
        exit_code = trouble.exit_code
    app.leave(exit_code)


def _run(argv: list[str]) -> int:
    if argv[:1] == [VERSION.name]:
        sys.stdout.write(f"gpucost-agent {__version__}\n")
        return 0
    command, values = settings.read(argv, os.environ)
    if command == CHECK.name:
        return _check(values)
    return app.run(values)


def _check(values: settings.Settings) -> int:
    exit_code = 0
    for finding in check(values, app.load_prices(values), SystemClock()):
        sys.stdout.write(f"{finding}\n")
        exit_code = exit_code or finding.exit_code
    return exit_code


if __name__ == "__main__":
    main()
