"""`gpucost-agent check`: what the agent can and can not read on this node, and why."""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
from gpucost import tls
from gpucost.clock import Clock
from gpucost.prices import Prices, override_trouble
from gpucost.trouble import EXIT_NO_DRIVER, EXIT_PERMISSION, Retry, Stop

from gpucost_agent.readings import ClusterReading, Gpu, HoldingReading
from gpucost_agent.settings import Settings
from gpucost_agent.sources.device_ids import KnownGpus
from gpucost_agent.sources.kube_pods import KubeAccess, open_kube_pods
from gpucost_agent.sources.nvml import open_driver
from gpucost_agent.sources.pod_resources import NotPermitted, PodResources
from gpucost_agent.sources.processes import Processes
from gpucost_agent.watching import gpu_context_of

_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that was tried: whether it works, and what follows.

    *exit_code* is not 0 where the agent could not run, or could not do what it is for.
    """

    what: str
    works: bool
    words: str
    exit_code: int = 0

    def __str__(self) -> str:
        return f"{'ok' if self.works else 'NO':3} {self.what:14} {self.words}"


def check(settings: Settings, prices: Prices, clock: Clock) -> Iterator[Finding]:
    """Everything that the agent reads, tried once; takes some seconds where something does not answer."""
    yield _spool(settings.spool_dir)
    try:
        driver = open_driver()
        gpus = driver.gpus()
    except Stop as trouble:
        yield Finding("driver", False, str(trouble), trouble.exit_code)
        return
    except Retry as trouble:
        yield Finding("driver", False, str(trouble), EXIT_NO_DRIVER)
        return
    yield Finding("driver", True, f"NVIDIA {driver.version()}, {len(gpus)} GPUs")
    processes = Processes(settings.proc_root, clock)
    pids: set[int] = set()
    for gpu in gpus:
        reading = driver.reader(gpu, clock).read()
        pids |= {process.pid for process in reading.processes or ()}
        missing = f"; can not read: {', '.join(reading.troubles)}" if reading.troubles else ""
        yield Finding(f"gpu {gpu.index}", not reading.troubles, f"{gpu.model} {gpu.uuid}{missing}")
    yield from _processes(processes, pids)
    yield _kubelet(settings, gpus, clock)
    cluster = _cluster(settings, clock)
    if isinstance(cluster, Finding):
        yield cluster
    else:
        yield Finding(
            "kube-api", True, f"{len(cluster.pods)} pods on this node, cluster {cluster.cluster_uid}"
        )
    yield from _prices(
        settings, prices, gpus, cluster if isinstance(cluster, ClusterReading) else None, clock
    )
    yield _aggregator(settings)


def _spool(folder: Path) -> Finding:
    where = next((parent for parent in (folder, *folder.parents) if parent.exists()), folder)
    if where.is_dir() and os.access(where, os.W_OK | os.X_OK):
        return Finding("spool-dir", True, f"{folder} can be written")
    return Finding(
        "spool-dir",
        False,
        f"{folder} can not be written: give a folder that this user may write",
        EXIT_PERMISSION,
    )


def _processes(processes: Processes, pids: set[int]) -> Iterator[Finding]:
    try:
        yield Finding("boot", True, f"boot {processes.boot().boot_id}")
    except Retry as trouble:
        yield Finding("boot", False, f"{trouble}; the life of the GPUs begins at the agent's first look")
    blindness = processes.blindness(pids)
    if blindness is None:
        yield Finding("host processes", True, "processes can be found in their containers")
    else:
        yield Finding(
            "host processes",
            False,
            f"{blindness}; use on shared GPUs stays unattributed, charging is still exact",
        )


def _kubelet(settings: Settings, gpus: tuple[Gpu, ...], clock: Clock) -> Finding:
    known = KnownGpus(gpus)
    source = PodResources(settings.pod_resources_socket, lambda: known, clock)
    try:
        answer = source.read()
    except NotPermitted as trouble:
        return Finding("kubelet", False, f"{trouble}; every GPU is unobserved", EXIT_PERMISSION)
    except Retry as trouble:
        return Finding("kubelet", False, f"{trouble}; every GPU is unobserved until it answers")
    finally:
        source.close()
    return Finding("kubelet", True, _held(answer))


def _held(answer: HoldingReading) -> str:
    ids = [device for allocation in answer.allocations for device in allocation.devices]
    unmapped = sorted(device.raw for device in ids if device.device is None)
    words = (
        f"{len(ids)} device ids held by {sum(1 for each in answer.allocations if each.devices)} containers"
    )
    return f"{words}; of no known device: {', '.join(unmapped)}" if unmapped else words


def _cluster(settings: Settings, clock: Clock) -> ClusterReading | Finding:
    try:
        pods = open_kube_pods(KubeAccess(settings.kube_api, settings.node), clock)
    except Stop as trouble:
        return Finding("kube-api", False, str(trouble), trouble.exit_code)
    lost = "no labels, owners and pod UIDs, and no node labels to price by"
    if pods is None:
        return Finding("kube-api", False, f"switched off by --kube-api: {lost}")
    stop = threading.Event()
    threading.Thread(target=pods.follow, args=(stop,), daemon=True).start()
    latest = _until(pods.latest)
    stop.set()
    if latest is None:
        return Finding("kube-api", False, f"{pods.trouble or 'no answer yet'}: {lost}")
    return latest


def _prices(
    settings: Settings, prices: Prices, gpus: tuple[Gpu, ...], cluster: ClusterReading | None, clock: Clock
) -> Iterator[Finding]:
    node = cluster.node if cluster is not None else None
    for gpu in gpus:
        context = gpu_context_of(settings.cluster, gpu, gpus, node)
        if trouble := override_trouble(context):
            yield Finding(f"price of gpu {gpu.index}", False, trouble)
        price = prices.quote(context, gpu.uuid, clock.now().wall_ns)
        if price.nanodollars_per_hour is None:
            yield Finding(
                f"price of gpu {gpu.index}",
                False,
                "none: its time is counted and costs nothing; write a rule into --price-book",
            )
        else:
            words = f"{price.nanodollars_per_hour} nano-dollars an hour, {price.source} {price.date}"
            yield Finding(f"price of gpu {gpu.index}", True, words.rstrip())


def _aggregator(settings: Settings) -> Finding:
    if settings.aggregator is None:
        return Finding("aggregator", False, "--aggregator names none: windows wait in the spool")
    target, own = str(settings.aggregator), settings.tls
    credentials = tls.channel_credentials(own.ca, own.cert, own.key) if own.wanted else None
    with (
        grpc.secure_channel(target, credentials) if credentials else grpc.insecure_channel(target) as channel
    ):
        try:
            grpc.channel_ready_future(channel).result(timeout=_WAIT_S)
        except grpc.FutureTimeoutError:
            return Finding(
                "aggregator", False, f"{settings.aggregator} does not answer: windows wait in the spool"
            )
    return Finding("aggregator", True, f"{settings.aggregator} answers")


def _until(ask: Callable[[], ClusterReading | None]) -> ClusterReading | None:
    waiting = threading.Event()
    for _ in range(int(_WAIT_S * 10)):
        if (answer := ask()) is not None:
            return answer
        waiting.wait(0.1)
    return None
