"""Every knob of the agent: default, unit, reason. Read by __main__ and app only."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpucost.settings_source import (
    CHECK,
    RUN,
    VERSION,
    Command,
    HostPort,
    Loaded,
    Program,
    Setting,
    boolean,
    choice,
    host_port,
    integer,
    listen_address,
    load,
    path,
    positive,
    text,
    url,
    words,
)
from gpucost.trouble import EXIT_SETTINGS, Stop
from gpucost.units import NS_PER_SECOND
from gpucost.window import check_window_ns


def _window_seconds(value: str) -> int:
    seconds = positive(value)
    check_window_ns(seconds * NS_PER_SECOND)
    return seconds


def _kube_api(value: str) -> str:
    return value if value in ("in-cluster", "none", "") else url(value)


def _kubelet_url(value: str) -> str:
    return url(value) if value else value


def _dcgm_url(value: str) -> str:
    return value if value in ("", "none") else url(value)


CLUSTER = Setting(
    "cluster",
    text,
    "",
    "Name of the cluster, as reports show it. There is no default: two clusters of one name can not be told apart.",
    required=True,
    unless="stand-alone",
)
NODE = Setting(
    "node",
    text,
    "",
    "Name of the node, as its Node object has it; the host's name where nothing is given.",
)
WINDOW_SECONDS = Setting(
    "window-seconds",
    _window_seconds,
    60,
    "Length of a window in seconds; it divides an hour and is one for the whole fleet. A minute keeps a month of"
    " ten thousand GPUs small and still shows a pod that lives for a minute.",
)
AGGREGATOR = Setting(
    "aggregator",
    host_port,
    None,
    "HOST:PORT of the aggregator's gRPC side. Without it windows wait in the spool.",
)
INSECURE = Setting(
    "insecure",
    boolean,
    False,
    "Speak plain text to an aggregator that is not on this machine. Off: bills are private.",
)
TLS_CA = Setting("tls-ca", path, None, "PEM file of the authority that signs the aggregator's certificate.")
TLS_CERT = Setting("tls-cert", path, None, "PEM file of this agent's own certificate, for mutual TLS.")
TLS_KEY = Setting("tls-key", path, None, "PEM file of the key of --tls-cert.")
TOKEN_FILE = Setting(
    "token-file",
    path,
    None,
    "File that holds this agent's token: that of `gpucost-aggregator join`, or a service account's. Read anew for each"
    " stream, so that it can be changed. Not set, as a certificate says who calls too, and loopback asks nobody.",
)
SPOOL_DIR = Setting(
    "spool-dir",
    path,
    Path("/var/lib/gpucost"),
    "Folder for what the aggregator does not hold yet; on the node's disk, so that it outlives the pod.",
)
PRICE_BOOK = Setting(
    "price-book",
    path,
    None,
    "YAML file with this node's prices, instead of the fleet's that the aggregator sends; list prices from the"
    " catalogue where neither fits.",
)
POD_RESOURCES_SOCKET = Setting(
    "pod-resources-socket",
    path,
    Path("/var/lib/kubelet/pod-resources/kubelet.sock"),
    "The kubelet's socket that says which container holds which device. Mount its folder, not the socket: a kubelet"
    " that restarts makes a new one.",
)
PROC_ROOT = Setting(
    "proc-root",
    path,
    Path("/proc"),
    "The host's /proc, by which a process is found in its container (needs hostPID).",
)
HOST_ROOT = Setting(
    "host-root",
    path,
    Path("/host"),
    "Where the host's root is mounted, read-only; its /var/log/pods names containers where the API server does not.",
)
KUBE_API = Setting(
    "kube-api",
    _kube_api,
    "in-cluster",
    "The Kubernetes API for this node's own pods and labels: in-cluster, a URL, or none to do without.",
)
KUBELET_URL = Setting(
    "kubelet-url",
    _kubelet_url,
    "",
    "URL of the kubelet, such as https://127.0.0.1:10250: pods are read from it and not from the Kubernetes API, which"
    " is lighter and knows no node labels; empty: the API is asked.",
)
DCGM_URL = Setting(
    "dcgm-url",
    _dcgm_url,
    "",
    "URL of the node's dcgm-exporter; empty: found from its pod on this node; none to do without. It tells the"
    " activity of MIG instances before Hopper, and of SMs, tensor cores and memory everywhere.",
)
DEVICE_RESOURCES = Setting[tuple[str, ...]](
    "device-resources",
    words,
    (),
    "Further names, with commas between them, of resources that a device plugin gives GPUs out under, whose ids are"
    " indices of GPUs; ids with a UUID in them are known under any name.",
)
FRACTIONS = Setting(
    "fractions",
    boolean,
    True,
    "Believe what HAMi, KAI and Run:ai write into pods' annotations about who got which part of a GPU; off: the"
    " kubelet's word alone.",
)
STAND_ALONE = Setting(
    "stand-alone",
    boolean,
    False,
    "Do without Kubernetes: tell who uses the GPUs of this machine by container, systemd unit or process, and print"
    " it as a table. Needs no other setting, no aggregator and no spool.",
)
METRICS_LISTEN = Setting(
    "metrics-listen",
    listen_address,
    HostPort("0.0.0.0", 9810),  # noqa: S104 - a pod's own address is not known before it runs
    "ADDRESS:PORT of /metrics, /healthz and /readyz. 9400 and 9003 belong to dcgm-exporter and OpenCost.",
)
KUBELET_GRACE_SECONDS = Setting(
    "kubelet-grace-seconds",
    integer(at_least=0),
    60,
    "How long the last holders hold, in seconds, when the kubelet does not answer: a restart of it takes less.",
)
LOG_FORMAT = Setting("log-format", choice("json", "text"), "json", "json for machines, text for a terminal.")
LOG_LEVEL = Setting(
    "log-level",
    choice("debug", "info", "warning", "error"),
    "info",
    "The least that is logged; changes of state are info.",
)

SETTINGS: tuple[Setting[object], ...] = (
    CLUSTER,
    NODE,
    WINDOW_SECONDS,
    AGGREGATOR,
    INSECURE,
    TLS_CA,
    TLS_CERT,
    TLS_KEY,
    TOKEN_FILE,
    SPOOL_DIR,
    PRICE_BOOK,
    POD_RESOURCES_SOCKET,
    PROC_ROOT,
    HOST_ROOT,
    KUBE_API,
    KUBELET_URL,
    DCGM_URL,
    DEVICE_RESOURCES,
    FRACTIONS,
    STAND_ALONE,
    METRICS_LISTEN,
    KUBELET_GRACE_SECONDS,
    LOG_FORMAT,
    LOG_LEVEL,
)

WATCH = Command(
    "watch",
    "Be the cluster's watcher instead: tell the aggregator of its nodes, namespaces and pods that wait for GPUs. One"
    " replica a cluster, on any node; it needs --cluster, --aggregator and --kube-api, and no GPU.",
)

PROGRAM = Program(
    "gpucost-agent",
    SETTINGS,
    (RUN, CHECK, WATCH, VERSION),
    about="Reads the GPUs of one node, attributes and prices their time, and streams it to the aggregator.",
)


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificate files; all None: plain text."""

    ca: Path | None
    cert: Path | None
    key: Path | None

    @property
    def wanted(self) -> bool:
        """Whether any was given."""
        return any((self.ca, self.cert, self.key))


@dataclass(frozen=True, slots=True)
class Settings:
    """The agent's settings, validated against each other."""

    cluster: str
    node: str
    window_ns: int
    aggregator: HostPort | None
    insecure: bool
    tls: Tls
    spool_dir: Path
    price_book: Path | None
    pod_resources_socket: Path
    proc_root: Path
    host_root: Path
    kube_api: str | None
    kubelet_url: str
    dcgm_url: str | None
    device_resources: tuple[str, ...]
    fractions: bool
    stand_alone: bool
    metrics_listen: HostPort
    kubelet_grace_ns: int
    log_format: str
    log_level: str
    token_file: Path | None = None


def read(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[str, Settings | None]:
    """
    The command and the settings; None for ``version``, which needs none.

    Raises:
        Stop: A setting is unknown, wrong, or contradicts another one (exit code 2).
    """
    loaded = load(PROGRAM, argv, environ)
    return loaded.command, None if loaded.command == VERSION.name else _validated(loaded)


def _check_alone(loaded: Loaded) -> None:
    """Nobody is asked for something in vain: what a machine alone has no use for is refused, if it was given."""
    reasons: dict[Setting[object], str] = {
        AGGREGATOR: "its table is for this machine alone",
        KUBELET_URL: "it does without Kubernetes",
        KUBE_API: "it does without Kubernetes",
    }
    for setting, reason in reasons.items():
        where = loaded.origin[setting.name]
        is_given = where != f"{setting.flag} (default)"
        if is_given and loaded.value(setting) not in (None, "", "none"):
            raise loaded.stop(STAND_ALONE.name, f"contradicts {where}, as {reason}: leave out one of the two")


def _validated(loaded: Loaded) -> Settings:
    tls = Tls(loaded.value(TLS_CA), loaded.value(TLS_CERT), loaded.value(TLS_KEY))
    aggregator = loaded.value(AGGREGATOR)
    stand_alone = loaded.value(STAND_ALONE)
    if stand_alone:
        _check_alone(loaded)
    insecure = loaded.value(INSECURE)
    if insecure and tls.wanted:
        raise loaded.stop(
            INSECURE.name, "contradicts --tls-ca, --tls-cert and --tls-key: give one or the other"
        )
    if (tls.cert is None) != (tls.key is None):
        raise loaded.stop(TLS_CERT.name, "--tls-cert and --tls-key belong together: give both or none")
    if aggregator is not None and not (insecure or tls.wanted or aggregator.is_loopback):
        raise Stop(
            f"--aggregator {aggregator} would be spoken to in plain text:"
            " give --tls-ca, or --insecure if that is meant",
            EXIT_SETTINGS,
        )
    return Settings(
        cluster=loaded.value(CLUSTER),
        node=loaded.value(NODE) or socket.gethostname(),
        window_ns=loaded.value(WINDOW_SECONDS) * NS_PER_SECOND,
        aggregator=aggregator,
        insecure=insecure,
        tls=tls,
        spool_dir=loaded.value(SPOOL_DIR),
        price_book=loaded.value(PRICE_BOOK),
        pod_resources_socket=loaded.value(POD_RESOURCES_SOCKET),
        proc_root=loaded.value(PROC_ROOT),
        host_root=loaded.value(HOST_ROOT),
        kube_api=None if stand_alone or loaded.value(KUBE_API) in ("", "none") else loaded.value(KUBE_API),
        kubelet_url="" if stand_alone else loaded.value(KUBELET_URL),
        dcgm_url=None if loaded.value(DCGM_URL) == "none" else loaded.value(DCGM_URL),
        device_resources=loaded.value(DEVICE_RESOURCES),
        fractions=loaded.value(FRACTIONS),
        stand_alone=stand_alone,
        metrics_listen=loaded.value(METRICS_LISTEN),
        kubelet_grace_ns=loaded.value(KUBELET_GRACE_SECONDS) * NS_PER_SECOND,
        log_format=loaded.value(LOG_FORMAT),
        log_level=loaded.value(LOG_LEVEL),
        token_file=loaded.value(TOKEN_FILE),
    )
