"""`gpucost-agent check`: what the agent can and can not read on this node, and why."""

import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gpucost import format as fmt
from gpucost import tls
from gpucost.clock import Clock
from gpucost.prices import override_trouble
from gpucost.settings_source import HostPort
from gpucost.trouble import EXIT_NO_DRIVER, EXIT_PERMISSION, EXIT_PORT, Retry, Stop
from gpucost.window import window_of

from gpucost_agent.fleet_prices import NodePrices
from gpucost_agent.knocking import knock
from gpucost_agent.price_copy import PriceCopy
from gpucost_agent.quoting import context_of
from gpucost_agent.readings import WHOLE, ClusterReading, Gpu, GpuReading, HoldingReading, Node, Partition
from gpucost_agent.settings import Settings, Tls
from gpucost_agent.sources.dcgm import Dcgm
from gpucost_agent.sources.driver.mig import mig_devices
from gpucost_agent.sources.driver.nvml import open_driver
from gpucost_agent.sources.host.processes import Processes
from gpucost_agent.sources.kubelet.device_ids import KnownGpus
from gpucost_agent.sources.kubelet.pod_resources import NodeFiles, NotPermitted, PodResources
from gpucost_agent.sources.pods.kube_pods import KubeAccess, open_kube_pods
from gpucost_agent.sources.pods.kubelet_pods import KubeletAccess, KubeletPods
from gpucost_agent.stream import Target
from gpucost_agent.token_file import token_metadata

EXIT_PARTLY = 1
"""The agent would run, and something that it reads does not answer."""

_WAIT_S = 5.0


class State(StrEnum):
    """How something stands; what the settings switch off is neither good nor bad."""

    OK = "ok"
    NO = "NO"
    OFF = "--"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that was tried: how it stands, and what follows.

    *exit_code* is 0 where it works or is switched off, EXIT_PARTLY where the agent runs without it.
    """

    what: str
    state: State
    words: str
    exit_code: int = 0

    def __str__(self) -> str:
        return f"{self.state:3} {self.what:14} {self.words}"


def check(settings: Settings, prices: NodePrices, clock: Clock) -> Iterator[Finding]:
    """Everything that the agent reads, tried once; takes some seconds where something does not answer."""
    usable = True
    if settings.aggregator is not None and settings.tls.wanted:
        # First, as the agent itself looks at its files before anything else.
        certificates = _certificates(settings.tls)
        usable = certificates.state is State.OK
        yield certificates
    if settings.token_file is not None:
        token = _token(settings.token_file)
        usable = usable and token.state is State.OK
        yield token
    if not settings.stand_alone:
        yield _spool(settings.spool_dir)
    yield _metrics(settings.metrics_listen)
    processes = Processes(settings.proc_root, clock)
    looks, findings = _driver(clock)
    yield from findings
    yield from _processes(processes, {each.pid for look in looks for each in look.reading.processes or ()})
    latest: ClusterReading | None = None
    if not settings.stand_alone:
        yield _kubelet(settings, looks, clock)
        latest, findings = _cluster(settings, clock)
        yield from findings
    yield _exporter(settings, looks, latest, clock)
    yield _price_book(settings, prices, clock)
    yield from _prices(settings, prices, looks, latest.node if latest else None, clock)
    if not settings.stand_alone:
        yield _aggregator(settings, usable)


@dataclass(frozen=True, slots=True)
class _Look:
    """A GPU, and one look at it."""

    gpu: Gpu
    reading: GpuReading


def _ok(what: str, words: str) -> Finding:
    return Finding(what, State.OK, words)


def _no(what: str, words: str, exit_code: int = EXIT_PARTLY) -> Finding:
    return Finding(what, State.NO, words, exit_code)


def _spool(folder: Path) -> Finding:
    where = next((parent for parent in (folder, *folder.parents) if parent.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=where):
            return _ok("spool-dir", f"{folder} can be written")
    except OSError as error:
        words = f"{folder} can not be written ({error.strerror}): give a folder that this user may write"
        return _no("spool-dir", words, EXIT_PERMISSION)


def _metrics(listen: HostPort) -> Finding:
    try:
        with socket.create_server((listen.host, listen.port)):
            return _ok("metrics-listen", f"{listen} is free")
    except OSError as error:
        return _no("metrics-listen", f"{listen}: {error.strerror} (a running agent's own?)", EXIT_PORT)


def _driver(clock: Clock) -> tuple[tuple[_Look, ...], list[Finding]]:
    """The GPUs, each looked at once, and how they were found."""
    try:
        driver = open_driver()
        gpus = driver.gpus()
    except Stop as trouble:
        return (), [_no("driver", str(trouble), trouble.exit_code)]
    except Retry as trouble:
        return (), [_no("driver", str(trouble), EXIT_NO_DRIVER)]
    findings = [_ok("driver", f"NVIDIA {driver.version()}, {len(gpus)} GPUs")]
    if driver.nameless:
        findings.append(
            _no("driver", f"{driver.nameless} more GPUs that it counts and can not name: look at dmesg")
        )
    looks = tuple(_Look(gpu, driver.reader(gpu, clock).read()) for gpu in gpus)
    for look in looks:
        what, words = (
            f"gpu {look.gpu.index}",
            f"{look.gpu.model} {look.gpu.uuid}{_cut(look.reading.partition)}",
        )
        if look.reading.troubles:
            findings.append(_no(what, f"{words}; can not read: {', '.join(look.reading.troubles)}"))
        else:
            findings.append(_ok(what, words))
    return looks, findings


def _cut(partition: Partition | None) -> str:
    if partition is None or not partition.mig:
        return ""
    profiles = [instance.profile for instance in partition.instances]
    return f", MIG: {', '.join(profiles) or 'no instances'}"


def _exporter(
    settings: Settings, looks: tuple[_Look, ...], latest: ClusterReading | None, clock: Clock
) -> Finding:
    missing = "it would tell how busy SMs, tensor cores and memory are"
    if any(look.reading.partition and look.reading.partition.mig for look in looks):
        missing += ", and before Hopper how busy MIG instances are at all"
    if settings.dcgm_url is None:
        return Finding("dcgm-exporter", State.OFF, f"switched off by --dcgm-url none; {missing}")
    url = settings.dcgm_url or (latest.dcgm_url if latest is not None else "")
    if not url:
        nobody = (
            "none is named: give its URL by --dcgm-url"
            if settings.stand_alone
            else "no pod of this node is one"
        )
        return Finding("dcgm-exporter", State.OFF, f"{nobody}; {missing}")
    try:
        answer = Dcgm(lambda: url, clock).read()
    except Retry as trouble:
        return _no("dcgm-exporter", f"{trouble}; {missing}")
    without = f"; it leaves out {', '.join(answer.missing)} activity" if answer.missing else ""
    return _ok("dcgm-exporter", f"{url} answers{without}")


def _processes(processes: Processes, pids: set[int]) -> Iterator[Finding]:
    try:
        yield _ok("boot", f"boot {processes.boot().boot_id}")
    except Retry as trouble:
        yield _no("boot", f"{trouble}; the kernel's own clock tells it instead")
    blindness = processes.blindness(pids)
    if blindness is None:
        yield _ok("host processes", "processes can be found in their containers")
    else:
        words = f"{blindness}; use on shared GPUs is told by memory, or not at all; charging is still exact"
        yield _no("host processes", words)


def _kubelet(settings: Settings, looks: tuple[_Look, ...], clock: Clock) -> Finding:
    mig = [mig_devices(look.gpu.uuid, look.reading.partition or WHOLE) for look in looks]
    known = KnownGpus(
        tuple(look.gpu for look in looks),
        {uuid: device for devices in mig for uuid, device in devices.items()},
    )
    files = NodeFiles(settings.host_root, settings.proc_root, lambda _: None)
    source = PodResources(
        settings.pod_resources_socket, lambda: known, clock, files, settings.device_resources
    )
    try:
        return _ok("kubelet", _held(source.read()))
    except NotPermitted as trouble:
        return _no("kubelet", f"{trouble}; every GPU is unobserved", EXIT_PERMISSION)
    except Retry as trouble:
        return _no("kubelet", f"{trouble}; every GPU is unobserved until it answers")
    finally:
        source.close()


def _held(answer: HoldingReading) -> str:
    ids = [device for allocation in answer.allocations for device in allocation.devices]
    holders = sum(1 for allocation in answer.allocations if allocation.devices)
    unmapped = sorted(device.raw for device in ids if device.device is None)
    words = f"{len(ids)} device ids held by {holders} containers"
    return f"{words}; of no known device: {', '.join(unmapped)}" if unmapped else words


def _cluster(settings: Settings, clock: Clock) -> tuple[ClusterReading | None, list[Finding]]:
    """What the API server says, and how it was found."""
    lost = "no labels, owners and pod UIDs, and no node labels to price by"
    if settings.kubelet_url:
        return _kubelet_pods(settings, clock)
    if settings.kube_api is None:
        return None, [Finding("kube-api", State.OFF, f"switched off by --kube-api none: {lost}")]
    try:
        pods = open_kube_pods(KubeAccess(settings.kube_api, settings.node), clock)
    except Stop as trouble:
        return None, [_no("kube-api", str(trouble), trouble.exit_code)]
    if pods is None:
        return None, []
    stop = threading.Event()
    threading.Thread(target=pods.follow, args=(stop,), daemon=True).start()
    latest = _until(pods.latest)
    stop.set()
    if latest is None:
        return None, [_no("kube-api", f"{pods.trouble or 'no answer yet'}: {lost}")]
    if latest.node is None:
        words = f"{pods.trouble or 'the node was not found'}: give --node as `kubectl get nodes` shows it"
        return None, [_no("kube-api", words)]
    words = f"{len(latest.pods)} pods on node {latest.node.name}, cluster {latest.cluster_uid or 'unknown'}"
    if pods.malformed:
        return latest, [_no("kube-api", f"{words}; {pods.malformed} objects were no pods and are left out")]
    return latest, [_ok("kube-api", words)]


def _kubelet_pods(settings: Settings, clock: Clock) -> tuple[ClusterReading | None, list[Finding]]:
    what = "kubelet-url"
    try:
        pods = KubeletPods(KubeletAccess(settings.kubelet_url), clock)
    except Stop as trouble:
        return None, [_no(what, str(trouble), trouble.exit_code)]
    stop = threading.Event()
    threading.Thread(target=pods.follow, args=(stop,), daemon=True).start()
    latest = _until(pods.latest)
    stop.set()
    if latest is None:
        return None, [_no(what, f"{pods.trouble or 'no answer yet'}: no labels, owners and pod UIDs")]
    return latest, [_ok(what, f"{len(latest.pods)} pods on this node; node labels are not known to it")]


def _price_book(settings: Settings, prices: NodePrices, clock: Clock) -> Finding:
    if not (prices.has_own or settings.stand_alone):
        try:
            prices.recall(PriceCopy(settings.spool_dir), window_of(clock.now().wall_ns, settings.window_ns))
        except (OSError, ValueError) as trouble:
            return _no("price-book", f"{trouble}; the agent asks its aggregator for it again")
    if prices.source == "none":
        return Finding(
            "price-book", State.OFF, "none here, and none of the aggregator's yet: the catalogue alone"
        )
    where = (
        "the aggregator, as it sent it last" if prices.source == "aggregator" else str(settings.price_book)
    )
    return _ok("price-book", f"version {prices.version} of {where}")


def _prices(
    settings: Settings, prices: NodePrices, looks: tuple[_Look, ...], node: Node | None, clock: Clock
) -> Iterator[Finding]:
    gpus = tuple(look.gpu for look in looks)
    for gpu in gpus:
        what = f"price of gpu {gpu.index}"
        context = context_of(settings.cluster, gpu, gpus, node)
        if trouble := override_trouble(context):
            yield _no(what, trouble)
        now_ns = clock.now().wall_ns
        price = prices.at(now_ns).quote(context, gpu.uuid, now_ns)
        if price.nanodollars_per_hour is None:
            yield _no(what, "none: its time is counted and costs nothing; write a rule into --price-book")
        else:
            words = f"{fmt.money(price.nanodollars_per_hour, 4)} an hour, by {price.source} {price.date}"
            yield _ok(what, words.rstrip())


def _certificates(own: Tls) -> Finding:
    try:
        tls.read_pems(own.ca, own.cert, own.key)
    except Stop as trouble:
        return _no("tls", str(trouble), trouble.exit_code)
    files = ", ".join(str(file) for file in (own.ca, own.cert, own.key) if file is not None)
    return _ok("tls", f"{files} can be read")


def _token(file: Path) -> Finding:
    try:
        token_metadata(file)
    except Retry as trouble:
        return _no("token", str(trouble))
    return _ok("token", f"{file} holds one")


def _aggregator(settings: Settings, usable: bool) -> Finding:
    """Whether somebody answers, and lets this agent in where its files are *usable*."""
    address = settings.aggregator
    if address is None:
        return Finding("aggregator", State.OFF, "--aggregator names none: windows wait in the spool")
    wait = "windows wait in the spool"
    try:
        socket.create_connection((address.host, address.port), timeout=_WAIT_S).close()
    except OSError as error:
        return _no("aggregator", f"{address}: {error.strerror or error}: {wait}")
    if not usable:
        words = f"{address} answers; it can not be spoken to until the files of tls and token are right"
        return _no("aggregator", words)
    own = settings.tls
    credentials = tls.channel_credentials(own.ca, own.cert, own.key) if own.wanted else None
    try:
        knock(Target(str(address), credentials, settings.token_file), _WAIT_S)
    except Retry as trouble:
        return _no("aggregator", f"{trouble}; {wait}")
    return _ok(
        "aggregator", f"{address} lets this agent in; whether it takes its windows, the agent's log tells"
    )


def _until(ask: Callable[[], ClusterReading | None]) -> ClusterReading | None:
    waiting = threading.Event()
    for _ in range(int(_WAIT_S * 10)):
        if (answer := ask()) is not None:
            return answer
        waiting.wait(0.1)
    return None
