"""What a program declares of itself: its settings and commands; and what loading them gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gpucost.settings_values import boolean, byte_size, spelt_bytes
from gpucost.trouble import EXIT_SETTINGS, Stop

T_co = TypeVar("T_co", covariant=True)

# fmt: off
FLEET_SETTINGS = frozenset({
    "cluster", "node", "window-seconds", "aggregator", "insecure", "tls-ca", "tls-cert", "tls-key",
    "spool-dir", "price-book", "pod-resources-socket", "proc-root", "host-root",
    "kube-api", "kubelet-url", "dcgm-url", "device-resources", "fractions", "stand-alone",
    "metrics-listen", "kubelet-grace-seconds", "data-dir", "admin-socket",
    "grpc-listen", "http-listen", "memory-limit", "threads",
    "token-file", "writers-file", "readers-file", "trusted-proxies", "identity-header", "groups-header",
    "peers", "peers-token-file", "lease",
    "log-format", "log-level",
})
# fmt: on
"""
Settings of either program: both may run with one environment, so neither refuses the other's variables.

A house test sees that each name here is declared by one of the programs, and each declared one is here.
"""


@dataclass(frozen=True)  # no slots: Setting[int](...) fails with them on Python 3.11
class Setting(Generic[T_co]):
    """
    One knob.

    Args:
        name: In words with hyphens; the unit is part of it where there is one.

        parse: Text to value; raises ValueError saying what is wrong and what to write.

        default: What holds where nobody says anything; None for "not set".

        help: What it means, its unit, and the reason of the default.

        secret: Its value stands in no message.

        required: There is no default that could be right; the program does not start without a value.

        unless: The name of a setting with which it is not required.
    """

    name: str
    parse: Callable[[str], T_co]
    default: T_co
    help: str
    secret: bool = False
    required: bool = False
    unless: str = ""

    @property
    def flag(self) -> str:
        """Its spelling on the command line."""
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        """Its spelling in the environment."""
        return f"GPUCOST_{self.key.upper()}"

    @property
    def key(self) -> str:
        """Its spelling in the file."""
        return self.name.replace("-", "_")

    @property
    def is_switch(self) -> bool:
        """Whether its flag may stand without a value."""
        return self.parse is boolean

    @property
    def default_text(self) -> str:
        """Its default, spelt as somebody would write it."""
        if self.required:
            return "required"
        if self.parse is byte_size and isinstance(self.default, int):
            return spelt_bytes(self.default)
        return spelt(self.default)


@dataclass(frozen=True, slots=True)
class Command:
    """
    Something that a program does.

    *name* is one word, or two where several commands are about one thing.
    *flags* hold on the command line of this command only; *arguments* are its values without a flag, in order;
    one that is parsed as words takes all that are left.
    """

    name: str
    help: str
    flags: tuple[Setting[object], ...] = ()
    arguments: tuple[Setting[object], ...] = ()


RUN = Command("run", "Run until a signal ends it (the default).")
CHECK = Command("check", "Read the settings, try what can be tried, say what would not work, and end.")
VERSION = Command("version", "Print the version and end.")


@dataclass(frozen=True, slots=True)
class Program:
    """
    A program by its settings and commands.

    *foreign* are names of settings that this program does not have and whose variables it lets pass.
    """

    name: str
    settings: tuple[Setting[object], ...]
    commands: tuple[Command, ...] = (RUN, CHECK, VERSION)
    foreign: frozenset[str] = FLEET_SETTINGS
    about: str = ""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What to do, the value of every setting by its name, and where each value came from, for people."""

    command: str
    values: Mapping[str, object]
    origin: Mapping[str, str] = field(default_factory=dict)

    def value(self, setting: Setting[T_co]) -> T_co:
        """The value of *setting*, of its own type."""
        return self.values[setting.name]  # type: ignore[return-value]  # parse made it

    def stop(self, name: str, message: str) -> Stop:
        """The trouble *message* with setting *name*, for values that do not fit each other."""
        return Stop(f"{self.origin[name]}: {message}", EXIT_SETTINGS)


def spelt(value: object) -> str:
    """*value* as somebody would write it in a flag; the empty text for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return ",".join(spelt(part) for part in value)
    return str(value)
