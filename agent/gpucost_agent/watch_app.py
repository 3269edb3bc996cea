"""The cluster's watcher, put together: the only place where its real things are built and threads are started."""

import signal
import threading

from gpucost import __version__, logs, tls
from gpucost.system_clock import SystemClock
from gpucost.trouble import EXIT_SETTINGS, Stop

from gpucost_agent.cluster_news import ClusterNews
from gpucost_agent.cluster_watch import ClusterUid, WatcherCaller, WatcherStream, watched_kinds
from gpucost_agent.metrics import Metrics, serve
from gpucost_agent.settings import AGGREGATOR, KUBE_API, WATCH, Settings
from gpucost_agent.sources.pods.kube_kinds import KindFollower
from gpucost_agent.stream import Target

_END_S = 5.0
"""How long the last words may take; nothing is lost with them."""


def run(settings: Settings) -> int:
    """
    Run until a signal; the exit code.

    Raises:
        Stop: It can not begin.
    """
    if settings.kube_api is None or settings.aggregator is None:
        missing = KUBE_API if settings.kube_api is None else AGGREGATOR
        what = "the watcher reads the Kubernetes API and tells the aggregator of it: give both"
        raise Stop(f"{WATCH.name}: {missing.flag} names none: {what}", EXIT_SETTINGS)
    logs.configure(settings.log_format, settings.log_level)
    log = logs.logger("gpucost-agent").bind(cluster=settings.cluster, role="cluster_watcher")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    clock, metrics, uid = SystemClock(), Metrics(), ClusterUid()

    def tell_trouble(kind: str, reason: str, forbidden: bool) -> None:
        if forbidden:
            what = "the watcher goes on without them: let its service account list and watch them"
            log.error("cluster_kind_forbidden", kind=kind, reason=reason, what=what)
        else:
            log.warning("cluster_kind_unread", kind=kind, reason=reason)

    def tell_stream(reason: str) -> None:
        metrics.connected.set(0 if reason else 1)
        if reason:
            log.warning("stream_disconnected", reason=reason)
        else:
            log.info("stream_connected")

    news = ClusterNews(tell_trouble)
    credentials = (
        tls.channel_credentials(settings.tls.ca, settings.tls.cert, settings.tls.key)
        if settings.tls.wanted
        else None
    )
    target = Target(str(settings.aggregator), credentials, settings.token_file)
    caller = WatcherCaller(settings.cluster, lambda: uid.value, __version__)
    stream = WatcherStream(news, target, caller, clock, stop, tell_stream)
    followers = [
        KindFollower(settings.kube_api, access, news)
        for access in watched_kinds(uid, settings.device_resources)
    ]
    serve(settings.metrics_listen, metrics, lambda: (True, "ok"), lambda: _ready(stream, news))
    for follower in followers:
        threading.Thread(target=follower.follow, args=(stop,), daemon=True).start()
    sending = threading.Thread(target=stream.run, name="stream", daemon=True)
    sending.start()
    log.info("watcher_started", version=__version__, kube_api=settings.kube_api)
    stop.wait()
    news.moved.set()
    sending.join(_END_S)
    return 0


def _ready(stream: WatcherStream, news: ClusterNews) -> tuple[bool, str]:
    if not stream.welcomed.is_set():
        return False, "the aggregator does not answer"
    if troubles := news.troubles:
        return True, "ok, but " + "; ".join(f"{kind}: {reason}" for kind, reason in sorted(troubles.items()))
    return True, "ok"
