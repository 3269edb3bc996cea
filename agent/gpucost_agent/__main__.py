"""`gpucost-agent`: argv -> settings -> app; and the exit code."""

import os
import sys

from gpucost import __version__
from gpucost.settings_source import CHECK
from gpucost.system_clock import SystemClock
from gpucost.trouble import Stop

from gpucost_agent import app, heap, settings, watch_app
from gpucost_agent.check import EXIT_PARTLY, check
from gpucost_agent.fleet_prices import open_prices


def main() -> None:
    """Run the command that the arguments name; never returns, as a stuck driver call would hold the process."""
    try:
        exit_code = _run(sys.argv[1:])
    except Stop as trouble:
        sys.stderr.write(f"gpucost-agent: {trouble}\n")
        exit_code = trouble.exit_code
    app.leave(exit_code)


def _run(argv: list[str]) -> int:
    command, values = settings.read(argv, os.environ)
    if values is None:
        sys.stdout.write(f"gpucost-agent {__version__}\n")
        return 0
    if command == CHECK.name:
        return _check(values)
    if command == settings.WATCH.name:
        return watch_app.run(values)
    heap.begin_without_thread_caches()
    # The spool tells what each pod of the node costs; its folder may be older, and open to all.
    os.umask(0o077)
    return app.run(values)


def _check(values: settings.Settings) -> int:
    """What would stop the agent gives its own exit code; else 1 if something can not be read."""
    exit_code = 0
    for finding in check(values, open_prices(values.price_book), SystemClock()):
        sys.stdout.write(f"{finding}\n")
        sys.stdout.flush()
        if exit_code in (0, EXIT_PARTLY):
            exit_code = finding.exit_code or exit_code
    return exit_code


if __name__ == "__main__":
    main()
