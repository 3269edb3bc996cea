from collections.abc import Callable
from pathlib import Path

import pytest
from gpucost.settings_source import (
    CHECK,
    RUN,
    VERSION,
    Command,
    HostPort,
    Program,
    Setting,
    boolean,
    byte_size,
    choice,
    host_port,
    integer,
    listen_address,
    load,
    path,
    positive,
    spelt,
    text,
    url,
    words,
)
from gpucost.trouble import EXIT_SETTINGS, Stop
from hypothesis import assume, given
from hypothesis import strategies as st

CLUSTER = Setting[str]("cluster", text, "", "Name of the cluster, as it stands on bills.", required=True)
WINDOW = Setting[int](
    "window-seconds", positive, 60, "Length of a window in seconds; a minute is short enough."
)
TOKEN = Setting[str]("token", text, "", "What this agent shows to the aggregator.", secret=True)
INSECURE = Setting[bool]("insecure", boolean, False, "Plain text, for a loopback or a lab.")
KEEP = Setting[tuple[str, ...]]("keep-labels", words, ("app", "team"), "Labels that go along.")
PORT = Setting[HostPort]("listen", listen_address, HostPort("", 9443), "Where to listen.")
THREADS = Setting[int]("threads", integer(1, 64), 2, "Threads of the store; two leave room for gRPC.")
SOCKET = Setting[Path | None]("socket", path, None, "Where operators ask.")
FORCE = Setting[bool]("force", boolean, False, "Overwrite what is there.")
FILE = Setting[str]("file", text, "", "The backup to read.", required=True)
RESTORE = Command("restore", "Read a backup.", flags=(FORCE,), arguments=(FILE,))
PROGRAM = Program(
    "gpucost-test",
    (CLUSTER, WINDOW, TOKEN, INSECURE, KEEP, PORT, THREADS, SOCKET),
    (RUN, CHECK, VERSION, RESTORE),
    about="A program for tests.",
)


def test_a_flag_wins_over_the_environment_that_over_the_file_that_over_the_default(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("cluster: no\nwindow_seconds: 20\nthreads: 4\n")
    environment = {"GPUCOST_WINDOW_SECONDS": "30", "GPUCOST_INSECURE": "true", "GPUCOST_CONFIG": str(file)}
    loaded = load(PROGRAM, ["--window-seconds", "10"], environment)
    assert loaded.command == "run"
    assert loaded.value(WINDOW) == 10
    assert loaded.value(INSECURE) is True
    assert loaded.value(THREADS) == 4
    assert loaded.value(CLUSTER) == "no"  # a text stays a text
    assert loaded.value(PORT) == HostPort("", 9443)
    assert loaded.origin["window-seconds"] == "--window-seconds"
    assert loaded.origin["insecure"] == "environment variable GPUCOST_INSECURE"
    assert loaded.origin["threads"] == f"{file}:3:10: threads"
    assert loaded.origin["listen"] == "--listen (default)"


def test_a_switch_needs_no_value_and_takes_one() -> None:
    assert load(PROGRAM, ["--cluster=a", "--insecure"], {}).value(INSECURE) is True
    assert load(PROGRAM, ["--cluster=a", "--insecure=false"], {}).value(INSECURE) is False
    assert load(PROGRAM, ["--insecure", "check", "--cluster=a"], {}).command == "check"


def test_a_command_has_flags_and_arguments_of_its_own() -> None:
    loaded = load(PROGRAM, ["restore", "b.tar", "--force", "--cluster", "a"], {})
    assert (loaded.command, loaded.value(FILE), loaded.value(FORCE)) == ("restore", "b.tar", True)


def test_version_answers_wherever_the_program_is_installed() -> None:
    assert load(PROGRAM, ["version"], {"GPUCOST_NONSENSE": "1"}).command == "version"
    assert load(PROGRAM, ["--version"], {}).command == "version"


def test_variables_that_are_nobodys_mistake_pass() -> None:
    environment = {
        "GPUCOST_DATA_DIR": "/data",  # the aggregator's
        "GPUCOST_WINDOW_SECONDS": "",  # a chart's empty value
        "GPUCOST_AGGREGATOR_SERVICE_HOST": "10.0.0.1",  # what the kubelet adds for a Service
        "GPUCOST_AGGREGATOR_SERVICE_PORT": "9443",
        "GPUCOST_AGGREGATOR_SERVICE_PORT_GRPC": "9443",
        "GPUCOST_AGGREGATOR_PORT": "tcp://10.0.0.1:9443",
        "GPUCOST_AGGREGATOR_PORT_9443_TCP": "tcp://10.0.0.1:9443",
        "GPUCOST_AGGREGATOR_PORT_9443_TCP_ADDR": "10.0.0.1",
        "GPUCOST_PORT_9443_TCP_PROTO": "tcp",
        "PATH": "/bin",
    }
    assert load(PROGRAM, ["--cluster=a"], environment).value(WINDOW) == 60


def test_a_list_in_the_file_is_a_list_of_words(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("cluster: a\nkeep_labels: [app, cost-center]\nwindow_seconds:\n")
    loaded = load(PROGRAM, ["--config", str(file)], {})
    assert loaded.value(KEEP) == ("app", "cost-center")
    assert loaded.value(WINDOW) == 60


def test_help_lists_every_setting(
    capsys: pytest.CaptureFixture[str], golden: Callable[[str, str], None]
) -> None:
    with pytest.raises(SystemExit) as end:
        load(PROGRAM, ["restore", "--help"], {"GPUCOST_NONSENSE": "1"})
    assert end.value.code == 0
    golden("help.txt", capsys.readouterr().out)


def test_every_mistake_names_its_place_and_what_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Callable[[str, str], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {
        "unknown.yaml": "cluster: a\nwindow_secs: 60\n",
        "foreign.yaml": "cluster: a\ndata_dir: /data\n",
        "value.yaml": "cluster: a\nthreads: 1.5\n",
        "twice.yaml": "cluster: a\ncluster: b\n",
        "shape.yaml": "cluster: [a, b]\n",
        "broken.yaml": "cluster: [a\nthreads: 1\n",
    }
    for name, content in files.items():
        Path(name).write_text(content)
    Path("binary.yaml").write_bytes(b"\xff\xfe\x00")
    mistakes: list[tuple[list[str], dict[str, str]]] = [
        ([], {}),
        (["--clustr", "a"], {}),
        (["-x"], {}),
        (["--cluster"], {}),
        (["--cluster", "--insecure"], {}),
        (["--cluster=a", "--cluster=b"], {}),
        (["--cluster="], {}),
        (["--cluster=a", "--window-seconds=0"], {}),
        (["--cluster=a", "--threads=many"], {}),
        (["--cluster=a", "--threads=65"], {}),
        (["--cluster=a", "--listen=9443"], {}),
        (["--cluster=a", "--insecure=perhaps"], {}),
        (["--cluster=a", "--force"], {}),
        (["--cluster=a"], {"GPUCOST_WINDOWSECONDS": "60"}),
        (["--cluster=a"], {"GPUCOST_THREADS": "0"}),
        (["--cluster=a"], {"GPUCOST_TOKEN": " "}),
        (["chek", "--cluster=a"], {}),
        (["check", "now", "--cluster=a"], {}),
        (["restore", "--cluster=a"], {}),
        (["--config", "absent.yaml"], {}),
        *((["--config", name], {}) for name in (*files, "binary.yaml")),
    ]
    lines = []
    for argv, environment in mistakes:
        with pytest.raises(Stop) as stop:
            load(PROGRAM, argv, environment)
        assert stop.value.exit_code == EXIT_SETTINGS
        said = " ".join([*(f"{key}={value}" for key, value in environment.items()), *argv])
        lines.append(f"{said}\n    {stop.value}\n")
    golden("settings_errors.txt", "".join(lines))


def test_a_secret_stands_in_no_message() -> None:
    secret = Setting[int]("token-number", positive, 1, "A number that nobody may see.", secret=True)
    with pytest.raises(Stop) as stop:
        load(Program("p", (secret,)), ["--token-number=hunter2"], {})
    assert "hunter2" not in str(stop.value)


def test_values_that_do_not_fit_each_other_name_where_one_was_said() -> None:
    loaded = load(PROGRAM, ["--cluster=a"], {"GPUCOST_THREADS": "3"})
    stop = loaded.stop("threads", "more than the machine has")
    assert str(stop) == "environment variable GPUCOST_THREADS: more than the machine has"


@pytest.mark.parametrize(
    ("parse", "good", "value"),
    [
        (byte_size, "512MiB", 512 << 20),
        (byte_size, "4 GiB", 4 << 30),
        (byte_size, "17", 17),
        (choice("json", "text"), "json", "json"),
        (url, "https://10.0.0.1:6443/", "https://10.0.0.1:6443"),
        (url, "http://[::1]:9400/metrics", "http://[::1]:9400/metrics"),
        (host_port, "aggregator:9443", HostPort("aggregator", 9443)),
        (host_port, "[::1]:9443", HostPort("::1", 9443)),
        (listen_address, ":8080", HostPort("", 8080)),
        (listen_address, "127.0.0.1:0", HostPort("127.0.0.1", 0)),
        (words, "", ()),
        (words, "a, b,", ("a", "b")),
        (boolean, "Yes", True),
    ],
)
def test_values_that_are_right(parse: Callable[[str], object], good: str, value: object) -> None:
    assert parse(good) == value


@pytest.mark.parametrize(
    ("parse", "bad"),
    [
        (byte_size, "4GB"),
        (byte_size, "-1"),
        (choice("json", "text"), "JSON"),
        (url, "10.0.0.1:6443"),
        (url, "ftp://host"),
        (url, "http://host:99999"),
        (host_port, ":9443"),
        (host_port, "::1:9443"),
        (host_port, "http://host:9443"),
        (listen_address, "host:65536"),
        (listen_address, "host:"),
        (positive, "1_0"),
        (positive, "٣"),
        (path, "\0"),
        (text, " "),
    ],
)
def test_values_that_are_wrong(parse: Callable[[str], object], bad: str) -> None:
    with pytest.raises(ValueError, match="write"):
        parse(bad)


def test_who_can_reach_an_address() -> None:
    assert HostPort("127.0.0.53", 1).is_loopback
    assert HostPort("::1", 1).is_loopback
    assert not HostPort("", 1).is_loopback
    assert not HostPort("127.evil.example", 1).is_loopback


@given(st.integers(0, 10**17))
def test_whole_numbers_come_back_as_they_were_spelt(number: int) -> None:
    assert integer()(spelt(number)) == number


@given(st.sampled_from(["", "host", "::1", "10.0.0.1"]), st.integers(0, 65_535))
def test_addresses_come_back_as_they_were_spelt(host: str, port: int) -> None:
    assert listen_address(spelt(HostPort(host, port))) == HostPort(host, port)


@given(st.lists(st.text(max_size=12), max_size=5))
def test_no_command_line_does_anything_but_load_or_stop(argv: list[str]) -> None:
    assume(not {"-h", "--help"} & set(argv))
    try:
        loaded = load(PROGRAM, argv, {"GPUCOST_CLUSTER": "a"})
    except Stop as stop:
        assert stop.exit_code == EXIT_SETTINGS  # noqa: PT017 (either is right)
    else:
        assert set(loaded.values) >= {setting.name for setting in PROGRAM.settings}


@given(st.integers(0, 1 << 50))
def test_sizes_come_back_as_they_were_spelt(number: int) -> None:
    assert byte_size(Setting("memory", byte_size, number, "Of the store.").default_text) == number
