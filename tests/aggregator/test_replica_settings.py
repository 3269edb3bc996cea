"""The knobs of several aggregators: what they are, and which of them do not fit each other."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from gpucost.settings_source import HostPort
from gpucost.trouble import EXIT_SETTINGS, Stop

from gpucost_aggregator.replica_settings import LeaseName, ReplicaSettings
from gpucost_aggregator.settings import read_command

AWAY = "--peers=10.0.0.7:8080,aggregators.gpucost.svc:8080"
TOKEN = "--peers-token-file=/etc/gpucost/peers"
GUARDS = ["--readers-file=/r.yaml", "--trusted-proxies=10.0.0.1"]


def read(*argv: str) -> ReplicaSettings:
    return read_command(argv, {})[1].replicas


def test_there_are_no_others_unless_somebody_names_them() -> None:
    assert read() == ReplicaSettings()


@pytest.mark.parametrize(
    ("argv", "settings"),
    [
        (["--peers=127.0.0.1:8081"], ReplicaSettings((HostPort("127.0.0.1", 8081),))),
        (
            ["--peers=localhost:8081, [::1]:8082,"],
            ReplicaSettings((HostPort("localhost", 8081), HostPort("::1", 8082))),
        ),
        (
            [AWAY, TOKEN, "--insecure"],
            ReplicaSettings(
                (HostPort("10.0.0.7", 8080), HostPort("aggregators.gpucost.svc", 8080)),
                Path("/etc/gpucost/peers"),
            ),
        ),
        (
            ["--peers=127.0.0.1:8081", TOKEN, GUARDS[0]],
            ReplicaSettings((HostPort("127.0.0.1", 8081),), Path("/etc/gpucost/peers")),
        ),
        (["--lease=gpucost/aggregator"], ReplicaSettings(lease=LeaseName("gpucost", "aggregator"))),
        (["--lease=a-1/b.c-2.d"], ReplicaSettings(lease=LeaseName("a-1", "b.c-2.d"))),
    ],
)
def test_what_is_taken(argv: Sequence[str], settings: ReplicaSettings) -> None:
    assert read(*argv) == settings
    assert str(settings.lease) in f"{argv} None"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([AWAY, TOKEN], "--peers.*10.0.0.7:8080 would be asked in plain text.*--insecure"),
        ([AWAY, "--insecure"], "--peers.*nothing tells aggregators from readers.*--peers-token-file"),
        (["--peers=127.0.0.1:1,gpucost:1", "--insecure"], "gpucost:1 is beyond loopback"),
        (["--peers=127.0.0.1:1", GUARDS[0]], "would pass for an aggregator.*--peers-token-file"),
        (["--peers=127.0.0.1:1", GUARDS[1]], "would pass for an aggregator.*--peers-token-file"),
        ([TOKEN], "--peers-token-file.*without --peers"),
        (["--peers=127.0.0.1:1", "--lease=a/b"], "--lease.*stores of their own"),
        (["--peers=127.0.0.1"], "--peers.*HOST:PORT"),
        (["--peers=:8080"], "names no host"),
        (["--peers=127.0.0.1:0"], "no port"),
        (["--peers=http://127.0.0.1:1"], "HOST:PORT"),
        (["--peers=127.0.0.1:1,127.0.0.1:1"], "stands twice"),
        ([f"--peers={','.join(f'127.0.0.1:{port}' for port in range(1, 66))}"], "too many.*64 or less"),
        (["--lease=aggregator"], "write NAMESPACE/NAME"),
        (["--lease=a/b/c"], "write NAMESPACE/NAME"),
        (["--lease=/b"], "write NAMESPACE/NAME"),
        (["--lease=a/"], "write NAMESPACE/NAME"),
        (["--lease=a/../b"], "write NAMESPACE/NAME"),
        (["--lease=A/b"], "write NAMESPACE/NAME"),
        (["--lease=a/-b"], "write NAMESPACE/NAME"),
        (["--lease=a.b/c"], "write NAMESPACE/NAME"),
        ([f"--lease=a/{'b.' * 130}b"], "write NAMESPACE/NAME"),
    ],
)
def test_what_does_not_fit_is_refused(argv: Sequence[str], words: str) -> None:
    with pytest.raises(Stop, match=words) as stop:
        read(*argv)
    assert stop.value.exit_code == EXIT_SETTINGS
