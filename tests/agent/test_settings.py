"""The agent's settings: unknown and contradictory ones refuse to start, with words and exit code 2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from gpucost.settings_source import HostPort
from gpucost.trouble import EXIT_SETTINGS, Stop
from gpucost.units import NS_PER_SECOND

from gpucost_agent.settings import Settings, read

BARE = {name: value for name, value in os.environ.items() if not name.startswith("GPUCOST_")}


def settings(*argv: str, **environ: str) -> Settings:
    values = read(["--cluster", "c", *argv], environ)[1]
    assert values is not None
    return values


def test_defaults() -> None:
    values = settings()
    assert values.cluster == "c"
    assert values.node
    assert values.window_ns == 60 * NS_PER_SECOND
    assert values.kubelet_grace_ns == 60 * NS_PER_SECOND
    assert values.aggregator is None
    assert values.spool_dir == Path("/var/lib/gpucost")
    assert values.metrics_listen.port == 9810
    assert values.kube_api == "in-cluster"
    assert not values.tls.wanted


def test_a_flag_wins_over_the_environment() -> None:
    assert settings(GPUCOST_WINDOW_SECONDS="10").window_ns == 10 * NS_PER_SECOND
    assert settings("--window-seconds", "30", GPUCOST_WINDOW_SECONDS="10").window_ns == 30 * NS_PER_SECOND


def test_the_command_is_the_first_word() -> None:
    assert read(["--cluster", "c"], {})[0] == "run"
    assert read(["check", "--cluster", "c"], {})[0] == "check"


@pytest.mark.parametrize("argv", [["version"], ["--version"], ["--cluster", "c", "version"]])
def test_the_version_needs_no_settings(argv: list[str]) -> None:
    assert read(argv, {}) == ("version", None)


@pytest.mark.parametrize("written", ["none", ""])
def test_the_api_server_can_be_switched_off(written: str) -> None:
    assert settings(f"--kube-api={written}").kube_api is None


@pytest.mark.parametrize("written", [[], ["--kube-api=none"], ["--kube-api="]])
def test_a_machine_alone_asks_no_api_server(written: list[str]) -> None:
    assert settings("--stand-alone", *written).kube_api is None


def test_a_contradiction_names_where_each_side_stands() -> None:
    with pytest.raises(Stop, match=r"GPUCOST_STAND_ALONE: contradicts .*GPUCOST_KUBE_API"):
        settings(GPUCOST_STAND_ALONE="true", GPUCOST_KUBE_API="https://127.0.0.1:6443")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--window-second", "60"], "no such flag.*--window-seconds"),
        (["--window-seconds", "7"], "does not divide an hour"),
        (["--window-seconds", "0"], "--window-seconds"),
        (["--window-seconds", "sixty"], "--window-seconds"),
        (["--kubelet-grace-seconds", "-1"], "--kubelet-grace-seconds"),
        (["--aggregator", "somewhere"], "--aggregator"),
        (["--aggregator", "far.example:9443"], "plain text.*--tls-ca.*--insecure"),
        (["--aggregator", "far.example:9443", "--insecure", "--tls-ca", "ca.pem"], "contradicts"),
        (["--tls-cert", "cert.pem"], "belong together"),
        (["--tls-key", "key.pem"], "belong together"),
        (["--kube-api", "kubernetes.default"], "--kube-api"),
        (["--kube-api", "http://[x"], "--kube-api"),
        (["--kubelet-url", "https://"], "--kubelet-url"),
        (["--dcgm-url", "foo"], "--dcgm-url"),
        (["--stand-alone", "--aggregator", "127.0.0.1:9443"], "contradicts --aggregator.*leave out one"),
        (
            ["--stand-alone", "--kubelet-url", "https://127.0.0.1:10250"],
            "contradicts --kubelet-url.*leave out",
        ),
        (["--stand-alone", "--kube-api", "https://127.0.0.1:6443"], "contradicts --kube-api.*leave out one"),
        (["--stand-alone", "--kube-api=in-cluster"], "contradicts --kube-api.*leave out one"),
        (["--log-format", "xml"], "--log-format"),
        (["--cluster", "again"], "stands twice"),
        (["--spool-dir"], "needs a value"),
        (["sit"], "no command"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_what_is_wrong_is_refused_in_words(argv: list[str], words: str) -> None:
    with pytest.raises(Stop, match=words) as told:
        settings(*argv)
    assert told.value.exit_code == EXIT_SETTINGS


def test_an_unknown_variable_is_refused() -> None:
    with pytest.raises(Stop, match="GPUCOST_WINDOW: no such setting"):
        settings(GPUCOST_WINDOW="60")


def test_the_aggregators_variables_may_stand_beside() -> None:
    assert settings(GPUCOST_DATA_DIR="/data").cluster == "c"


def test_plain_text_is_for_loopback_or_who_asks_for_it() -> None:
    assert settings("--aggregator", "127.0.0.1:9443").aggregator == HostPort("127.0.0.1", 9443)
    assert settings("--aggregator", "far.example:9443", "--insecure").insecure
    assert settings("--aggregator", "far.example:9443", "--tls-ca", "ca.pem").tls.wanted


def agent(repository: Path, *argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gpucost_agent", *argv],
        env={**BARE, "PYTHONPATH": f"{repository}/proto:{repository}/agent", **environ},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("argv", "environ", "words"),
    [
        ((), {}, "--cluster"),
        (("run", "--cluster", "c", "--colour", "red"), {}, "--colour"),
        (("check", "--cluster", "c"), {"GPUCOST_LOG_LEVEL": "loud"}, "GPUCOST_LOG_LEVEL"),
    ],
)
def test_the_program_says_what_is_wrong_and_ends_with_2(
    repository: Path, argv: tuple[str, ...], environ: dict[str, str], words: str
) -> None:
    run = agent(repository, *argv, **environ)
    assert run.returncode == 2, run.stderr
    assert run.stderr.startswith("gpucost-agent: ")
    assert words in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""


@pytest.mark.parametrize(
    ("argv", "words"), [(("version",), "gpucost-agent "), (("--help",), "--window-seconds")]
)
def test_questions_are_answered_without_settings(repository: Path, argv: tuple[str, ...], words: str) -> None:
    run = agent(repository, *argv)
    assert (run.returncode, run.stderr) == (0, "")
    assert words in run.stdout
