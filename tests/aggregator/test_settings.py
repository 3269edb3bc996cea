"""The aggregator's knobs, and which of them do not fit each other."""

from pathlib import Path

import pytest
from gpucost.settings_source import HostPort
from gpucost.trouble import EXIT_SETTINGS, Stop

from gpucost_aggregator.settings import PROGRAM, Tls, read_command

PAIR = ["--tls-cert=/c.pem", "--tls-key=/k.pem"]


def test_defaults() -> None:
    loaded, settings = read_command([], {})
    assert loaded.command == "run"
    assert settings.data_dir == Path("/var/lib/gpucost-aggregator")
    assert (settings.grpc_listen, settings.http_listen) == (
        HostPort("127.0.0.1", 9443),
        HostPort("127.0.0.1", 8080),
    )
    assert settings.tls is None
    assert (settings.memory_limit_bytes, settings.threads) == (1 << 30, 2)


def test_values_come_from_flags_before_the_environment() -> None:
    environ = {"GPUCOST_DATA_DIR": "/a", "GPUCOST_THREADS": "7", "GPUCOST_CLUSTER": "the agent's"}
    _, settings = read_command(["check", "--data-dir", "/b", "--memory-limit=512MiB"], environ)
    assert (settings.data_dir, settings.threads, settings.memory_limit_bytes) == (Path("/b"), 7, 512 << 20)


def test_tls() -> None:
    assert read_command([*PAIR, "--grpc-listen=:9443"], {})[1].tls == Tls(
        Path("/c.pem"), Path("/k.pem"), None
    )
    assert read_command([*PAIR, "--tls-ca=/a.pem"], {})[1].tls == Tls(
        Path("/c.pem"), Path("/k.pem"), Path("/a.pem")
    )
    _, settings = read_command([*PAIR, "--insecure", "--http-listen=:8080"], {})
    assert settings.tls is not None


def test_plain_text_beyond_loopback_has_to_be_said() -> None:
    _, settings = read_command(["--insecure", "--grpc-listen=:9443", "--http-listen=0.0.0.0:8080"], {})
    assert settings.tls is None


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--grpc-listen=0.0.0.0:9443"], r"--grpc-listen.*--tls-cert.*--insecure"),
        ([*PAIR, "--http-listen=:8080"], r"--http-listen.*--insecure"),
        (["--tls-cert=/c.pem"], "--tls-key"),
        (["--tls-key=/k.pem"], "--tls-cert"),
        (["--tls-ca=/a.pem"], "--tls-cert"),
        (["--memory-limit=1MiB"], "64MiB or more"),
        (["--threads=0"], "1 or more"),
        (["--log-level=loud"], "info"),
        (["--grpc-listen=[::1]:80", "--http-listen=[::1]:80"], "are the same: give each its own port"),
        (["--grpc-listen=127.0.0.1:80", "--http-listen=localhost:80"], "have a port in common"),
        (["--insecure", "--grpc-listen=:80", "--http-listen=127.0.0.1:80"], "have a port in common"),
        (["--datadir=/x"], "no such flag"),
        (["serve"], "no command"),
    ],
)
def test_what_does_not_fit_is_refused(argv: list[str], words: str) -> None:
    with pytest.raises(Stop, match=words) as stop:
        read_command(argv, {})
    assert stop.value.exit_code == EXIT_SETTINGS


def test_addresses_that_do_not_meet() -> None:
    for http in ("127.0.0.1:8080", "127.0.0.2:9443", "[::1]:9443"):
        read_command(["--grpc-listen=127.0.0.1:9443", f"--http-listen={http}"], {})
    read_command(["--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0"], {})


def test_every_setting_says_why() -> None:
    for setting in PROGRAM.settings:
        assert setting.help.endswith("."), setting.name
        assert len(setting.help.split(". ")) > 1, f"{setting.name}: a meaning, and the reason of the default"


@pytest.mark.parametrize(
    ("flags", "asked"),
    [
        ((), False),
        (("--tls-cert=c", "--tls-key=k"), False),
        (("--grpc-listen=:9443", "--insecure"), False),
        (("--grpc-listen=:9443", "--tls-cert=c", "--tls-key=k"), True),
        (("--grpc-listen=:9443", "--tls-cert=c", "--tls-key=k", "--insecure"), True),
        (("--tls-cert=c", "--tls-key=k", "--tls-ca=a"), True),
        (("--writers-file=w",), True),
    ],
)
def test_when_writers_are_asked_before_anybody_joined(flags: tuple[str, ...], asked: bool) -> None:
    assert read_command(flags, {})[1].access.asks_writers is asked


def test_proxies_are_addresses_or_networks() -> None:
    access = read_command(("--trusted-proxies=10.0.0.7, fd00::/8",), {})[1].access
    assert [str(network) for network in access.proxies] == ["10.0.0.7/32", "fd00::/8"]
    with pytest.raises(Stop, match="'proxy' is no address of a proxy: write for example"):
        read_command(("--trusted-proxies=proxy",), {})
