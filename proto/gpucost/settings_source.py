"""
Flags, environment and file become one validated set of values.

A program declares its settings; each has one name, from which its three spellings follow:
the flag `--window-seconds`, the variable `GPUCOST_WINDOW_SECONDS`, the key `window_seconds` in the file.
A flag wins over the environment, that over the file, that over the default.
Whatever is not known, or has a value that is none, stops the program with a message
that names where it stands, what is wrong, and what to write.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gpucost.setting import CHECK, FLEET_SETTINGS, RUN, VERSION, Command, Loaded, Program, Setting, spelt
from gpucost.settings_reading import read_arguments, read_environment, read_file
from gpucost.settings_values import (
    HostPort,
    boolean,
    byte_size,
    choice,
    host_port,
    integer,
    listen_address,
    path,
    positive,
    text,
    url,
    words,
)
from gpucost.trouble import EXIT_SETTINGS, Stop

__all__ = [
    "CHECK",
    "FLEET_SETTINGS",
    "RUN",
    "VERSION",
    "Command",
    "HostPort",
    "Loaded",
    "Program",
    "Setting",
    "boolean",
    "byte_size",
    "choice",
    "host_port",
    "integer",
    "listen_address",
    "load",
    "path",
    "positive",
    "spelt",
    "text",
    "url",
    "words",
]


def load(program: Program, argv: Sequence[str], environ: Mapping[str, str]) -> Loaded:
    """
    The settings of *program* from its arguments (without its own name), its environment and a file.

    `--help` prints every setting and ends the program by SystemExit(0).
    `version` looks at nothing else, so that it answers wherever the program is installed.

    Raises:
        Stop: Something is unknown, missing or has a value that is none (exit code 2).
    """
    arguments = read_arguments(program, argv)
    known = [*program.settings, *arguments.command.flags, *arguments.command.arguments]
    values: dict[str, object] = {setting.name: setting.default for setting in known}
    origin = {setting.name: f"{setting.flag} (default)" for setting in known}
    if arguments.command.name == VERSION.name:
        return Loaded(VERSION.name, values, origin)
    said = read_environment(program, environ)
    config = arguments.config or environ.get("GPUCOST_CONFIG", "")
    if config:
        for name, spoken in read_file(program, Path(config)).items():
            said.setdefault(name, spoken)
    said |= arguments.said
    for setting in known:
        spoken_here = said.get(setting.name)
        if spoken_here is not None:
            origin[setting.name] = spoken_here.origin
            values[setting.name] = spoken_here.value(setting)
    for setting in known:
        if setting.required and setting.name not in said and not values.get(setting.unless):
            raise Stop(
                f"{setting.flag} is missing: give the flag, set {setting.variable}, or write `{setting.key}: ...`"
                f" into the file of --config ({setting.help})",
                EXIT_SETTINGS,
            )
    return Loaded(arguments.command.name, values, origin)
