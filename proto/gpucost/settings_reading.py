"""Where settings are said: the command line, the environment, a file. Read here, weighed in settings_source."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gpucost.setting import VERSION, Command, Program, Setting
from gpucost.settings_help import help_text
from gpucost.settings_values import words
from gpucost.suggestion import did_you_mean
from gpucost.trouble import EXIT_SETTINGS, Reject, Stop
from gpucost.yaml_marks import Listing, Node, as_text, parse_yaml

PREFIX = "GPUCOST_"
CONFIG = "config"

# A Service named gpucost-aggregator puts these into every pod of its namespace, and nobody wrote them.
_SERVICE_LINK = re.compile(
    r"GPUCOST(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


@dataclass(frozen=True, slots=True)
class Spoken:
    """What one source says of one setting, before anybody knows whether it is a value."""

    origin: str
    written: str

    def value(self, setting: Setting[object]) -> object:
        """
        What it means.

        Raises:
            Stop: It is no value of *setting*.
        """
        try:
            return setting.parse(self.written)
        except ValueError as trouble:
            why = "this is not a value of it (not shown, as it is secret)" if setting.secret else str(trouble)
            raise Stop(f"{self.origin}: {why}", EXIT_SETTINGS) from None


@dataclass(frozen=True, slots=True)
class Arguments:
    """A command line taken apart; *config* is the file that it names, empty if it names none."""

    command: Command
    said: dict[str, Spoken] = field(default_factory=dict)
    config: str = ""


def read_arguments(program: Program, argv: Sequence[str]) -> Arguments:
    """
    The command and the flags in *argv*; `--help` prints and ends.

    Raises:
        Stop: An argument is unknown, stands twice, or lacks its value.
    """
    if any(argument in {"-h", "--help"} for argument in argv):
        sys.stdout.write(help_text(program))
        raise SystemExit(0)
    if "--version" in argv:
        return Arguments(VERSION)
    bare: list[str] = []
    flags: dict[str, str | None] = {}
    switches = {setting.name for setting in _all_settings(program) if setting.is_switch}
    rest = iter(argv)
    for argument in rest:
        if not argument.startswith("-"):
            bare.append(argument)
            continue
        name, equals, value = argument.removeprefix("--").partition("=")
        if name in flags:
            raise _usage(program, f"--{name} stands twice: keep one")
        known = {setting.name for setting in _all_settings(program)} | {CONFIG}
        if not argument.startswith("--") or name not in known:
            raise _usage(program, f"{argument.partition('=')[0]}: no such flag{_near_flag(name, known)}")
        flags[name] = value if equals else "true" if name in switches else _next_value(program, name, rest)
    command = _command(program, bare)
    return Arguments(command, _said(program, command, bare, flags), flags.get(CONFIG) or "")


def read_environment(program: Program, environ: Mapping[str, str]) -> dict[str, Spoken]:
    """
    What the variables that begin with GPUCOST_ say; an empty one says nothing.

    Raises:
        Stop: One belongs to no setting of this program or of its sibling.
    """
    settings = {setting.variable: setting for setting in program.settings}
    foreign = {f"{PREFIX}{name.replace('-', '_').upper()}" for name in (*program.foreign, CONFIG)}
    said = {}
    for variable, written in sorted(environ.items()):
        if not variable.startswith(PREFIX) or not written:
            continue
        if variable in settings:
            said[settings[variable].name] = Spoken(f"environment variable {variable}", written)
        elif variable not in foreign and not _SERVICE_LINK.fullmatch(variable):
            # All begin alike, so what is near is told by the rest.
            rests = {known.removeprefix(PREFIX) for known in settings}
            near = did_you_mean(variable.removeprefix(PREFIX), rests).replace("mean ", f"mean {PREFIX}")
            raise Stop(f"environment variable {variable}: no such setting{near}", EXIT_SETTINGS)
    return said


def read_file(program: Program, file: Path) -> dict[str, Spoken]:
    """
    What the YAML in *file* says; a key without a value says nothing.

    Raises:
        Stop: It can not be read, is no YAML, or has a key that is no setting of this program.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as trouble:
        why = trouble.strerror if isinstance(trouble, OSError) else "it is not UTF-8 text"
        raise Stop(f"--config {file}: can not be read: {why}", EXIT_SETTINGS) from None
    settings = {setting.key: setting for setting in program.settings}
    said = {}
    try:
        block = parse_yaml(text, str(file))
        for key, entry in block.entries.items():
            if key not in settings and key.replace("_", "-") in program.foreign:
                raise entry.key_mark.reject(f"{key!r} is a setting of another program, not of {program.name}")
        block.refuse_unknown(settings, "the settings")
        for key, setting in settings.items():
            node = block.get(key)
            if node is not None:
                said[setting.name] = Spoken(f"{node.mark}: {key}", _written(node, setting))
    except Reject as trouble:
        raise Stop(str(trouble), EXIT_SETTINGS) from None
    return said


def _written(node: Node, setting: Setting[object]) -> str:
    if isinstance(node, Listing) and setting.parse is words:
        return ",".join(as_text(item, f"an item of {setting.key}") for item in node.items)
    return as_text(node, setting.key)


def _all_settings(program: Program) -> Iterator[Setting[object]]:
    yield from program.settings
    for command in program.commands:
        yield from command.flags


def _next_value(program: Program, name: str, rest: Iterator[str]) -> str:
    value = next(rest, None)
    if value is None or value.startswith("--"):
        raise _usage(program, f"--{name} needs a value: write --{name} VALUE, or --{name}=VALUE")
    return value


def _command(program: Program, bare: Sequence[str]) -> Command:
    commands = {command.name: command for command in program.commands}
    if not bare:
        return program.commands[0]
    two = " ".join(bare[:2])
    if found := commands.get(two) or commands.get(bare[0]):
        return found
    if second := [name.split()[1] for name in commands if name.startswith(f"{bare[0]} ")]:
        said = f"{two!r} is no command" if len(bare) > 1 else f"`{bare[0]}` is half a command"
        raise _usage(program, f"{said}: write `{bare[0]}` with {' or '.join(second)} after it")
    raise _usage(program, f"{bare[0]!r} is no command{did_you_mean(bare[0], commands)}")


def _said(
    program: Program, command: Command, bare: Sequence[str], flags: Mapping[str, str | None]
) -> dict[str, Spoken]:
    here = {setting.name for setting in (*program.settings, *command.flags)}
    said = {}
    for name, value in flags.items():
        if name == CONFIG:
            continue
        if name not in here:
            owners = [c.name for c in program.commands if any(name == flag.name for flag in c.flags)]
            raise _usage(program, f"--{name} is a flag of `{' and '.join(owners)}`, not of `{command.name}`")
        said[name] = Spoken(f"--{name}", value or "")
    words_left = list(bare[len(command.name.split()) :])
    for argument in command.arguments:
        if words_left and argument.parse is words:
            # The last one takes all that is left.
            said[argument.name] = Spoken(f"{command.name} {argument.name.upper()}", ",".join(words_left))
            words_left.clear()
        elif words_left:
            said[argument.name] = Spoken(f"{command.name} {argument.name.upper()}", words_left.pop(0))
        elif argument.required:
            raise _usage(program, f"`{command.name}` needs {argument.name.upper()}: {argument.help}")
    if words_left:
        raise _usage(program, f"{words_left[0]!r} is one word too many after `{command.name}`")
    return said


def _near_flag(name: str, known: set[str]) -> str:
    near = did_you_mean(name, known)
    return near.replace("did you mean ", "did you mean --") if "did you mean" in near else ""


def _usage(program: Program, message: str) -> Stop:
    return Stop(f"{message} (all of them: {program.name} --help)", EXIT_SETTINGS)
