"""A program's settings for people: the text of --help, and the table of docs/settings.md."""

import textwrap
from collections.abc import Sequence

from gpucost.setting import Command, Program, Setting
from gpucost.settings_values import words

_WIDTH = 100
_INDENT = " " * 6


def help_text(program: Program) -> str:
    """Commands, then every setting with its default, its variable and its meaning."""
    lines = [f"usage: {program.name} [COMMAND] [--SETTING VALUE ...] [--config FILE]", ""]
    if program.about:
        lines += [*textwrap.wrap(program.about, _WIDTH), ""]
    lines.append("commands:")
    for command in program.commands:
        lines.append(f"  {_synopsis(command)}")
        lines += _wrapped(command.help)
        lines += [
            f"    {line}"
            for flag in command.flags
            for line in _entry(flag, f"default: {flag.default_text or 'not set'}")
        ]
    lines += ["", "settings (a flag wins over the environment, that over the file, that over the default):"]
    lines.append("  --config FILE")
    lines += _wrapped(
        "YAML; each key is a setting's name with `_` for `-`. (default: not set; environment: GPUCOST_CONFIG)"
    )
    for setting in program.settings:
        lines += _entry(
            setting, f"default: {setting.default_text or 'not set'}; environment: {setting.variable}"
        )
    return "\n".join(lines) + "\n"


def settings_table(settings: Sequence[Setting[object]]) -> str:
    """The settings as a Markdown table, in their order."""
    rows = ["| flag | environment | file | default | meaning |", "| --- | --- | --- | --- | --- |"]
    for setting in settings:
        default = f"`{setting.default_text}`" if setting.default_text else "not set"
        meaning = " ".join(setting.help.split()).replace("|", r"\|")
        if setting.required:
            default = "required"
        rows.append(f"| `{setting.flag}` | `{setting.variable}` | `{setting.key}` | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def commands_table(commands: Sequence[Command]) -> str:
    """The commands as a Markdown table, with the flags that are theirs alone."""
    rows = ["| command | what it does |", "| --- | --- |"]
    for command in commands:
        flags = "".join(
            f"<br>`{flag.flag}` (default {flag.default_text or 'not set'}): {flag.help}"
            for flag in command.flags
        )
        rows.append(f"| `{_synopsis(command)}` | {command.help}{flags} |")
    return "\n".join(rows) + "\n"


def _synopsis(command: Command) -> str:
    return " ".join([command.name, *map(_placeholder, command.arguments)])


def _placeholder(argument: Setting[object]) -> str:
    name = argument.name.upper() + (" ..." if argument.parse is words else "")
    return name if argument.required else f"[{name}]"


def _entry(setting: Setting[object], facts: str) -> list[str]:
    value = "" if setting.is_switch else f" {setting.key.rpartition('_')[2].upper()}"
    return [f"  {setting.flag}{value}", *_wrapped(f"{' '.join(setting.help.split())} ({facts})")]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False
    )
