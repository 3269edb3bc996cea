"""A small Kubernetes API over plain HTTP: enough for the real clients to read, list by pages and watch."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Literal

from aiohttp import web
from aiohttp.typedefs import Handler

from simnode import kube_selectors
from simnode.kube_store import Gone, Listing, Manifest, Store
from simnode.kube_watch import Watch, event_line

VERSION = {
    "major": "1",
    "minor": "35",
    "gitVersion": "v1.35.8",
    "gitCommit": "0" * 40,
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "go1.25.5",
    "compiler": "gc",
    "platform": "linux/amd64",
}
DEFAULT_WATCH_SECONDS = 1800
BOOKMARK_SECONDS = 10.0

# How a watch from a too old version is refused: servers of today open the stream and send an ERROR event,
# older ones and proxies answer 410 at once. A client has to live with both.
GoneAs = Literal["status", "event"]


@dataclass(frozen=True)
class Resource:
    prefix: str
    api_version: str
    plural: str
    kind: str
    namespaced: bool


RESOURCES = (
    Resource("/api/v1", "v1", "nodes", "Node", False),
    Resource("/api/v1", "v1", "namespaces", "Namespace", False),
    Resource("/api/v1", "v1", "pods", "Pod", True),
    Resource("/apis/apps/v1", "apps/v1", "replicasets", "ReplicaSet", True),
)


class Refused(Exception):
    """An answer other than 2xx, as Kubernetes words it."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }


class KubeApi:
    """Serves one cluster's store; `stop` and `start` may alternate, and the port stays what it was."""

    def __init__(self, store: Store, port: int = 0, bookmark_seconds: float = BOOKMARK_SECONDS) -> None:
        self.gone_as: GoneAs = "status"
        self._store = store
        self._port = port
        self._bookmark_seconds = bookmark_seconds
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def running(self) -> bool:
        return self._runner is not None

    async def start(self) -> None:
        if self._runner is not None:
            return
        app = web.Application(middlewares=[_worded])
        for path in ("/version", "/version/"):
            app.router.add_get(path, _version)
        for path in ("/healthz", "/livez", "/readyz"):
            app.router.add_get(path, _healthy)
        for resource in RESOURCES:
            self._route(app, resource)
        # A stopped API server hangs up on its watches; it does not see them to their end.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = runner.addresses[0][1]
        self._runner = runner

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def forget_history(self, gone_as: GoneAs = "status") -> None:
        self.gone_as = gone_as
        self._store.forget_history()

    def _route(self, app: web.Application, resource: Resource) -> None:
        async def of_all(request: web.Request) -> web.StreamResponse:
            return await self._collection(request, resource)

        async def one(request: web.Request) -> web.StreamResponse:
            return self._one(request, resource)

        app.router.add_get(f"{resource.prefix}/{resource.plural}", of_all)
        if resource.namespaced:
            path = f"{resource.prefix}/namespaces/{{namespace}}/{resource.plural}"
            app.router.add_get(path, of_all)
        else:
            path = f"{resource.prefix}/{resource.plural}"
        app.router.add_get(f"{path}/{{name}}", one)

    def _one(self, request: web.Request, resource: Resource) -> web.Response:
        name = request.match_info["name"]
        found = self._store.get(resource.plural, request.match_info.get("namespace", ""), name)
        if found is None:
            raise Refused(404, "NotFound", f'{resource.plural} "{name}" not found')
        return web.json_response(typed(found, resource))

    async def _collection(self, request: web.Request, resource: Resource) -> web.StreamResponse:
        query = request.query
        fields = query.get("fieldSelector", "")
        if (namespace := request.match_info.get("namespace")) is not None:
            fields = ",".join(filter(None, (fields, f"metadata.namespace={namespace}")))
        try:
            selector = kube_selectors.parse(resource.plural, fields, query.get("labelSelector", ""))
        except kube_selectors.BadSelector as error:
            raise Refused(400, "BadRequest", str(error)) from None
        try:
            if query.get("watch", "").lower() in ("1", "true"):
                return await self._watch(request, resource, selector)
            return self._list(request, resource, selector)
        except Gone:
            raise too_old(query.get("resourceVersion", "")) from None

    def _list(
        self, request: web.Request, resource: Resource, selector: kube_selectors.Selector
    ) -> web.Response:
        store = self._store
        limit = _number(request, "limit")
        if token := request.query.get("continue"):
            version, begin = _open_token(token)
            listing = store.continued(resource.plural, version)
        else:
            begin, listing = 0, store.listing(resource.plural)
            exact = request.query.get("resourceVersionMatch") == "Exact"
            if exact and _number(request, "resourceVersion") != listing.version:
                raise Gone
        chosen = [manifest for manifest in listing.objects if selector.matches(manifest)]
        end = begin + limit if limit else len(chosen)
        metadata: Manifest = {"resourceVersion": str(listing.version)}
        if end < len(chosen):
            store.keep_for_paging(resource.plural, listing)
            metadata["continue"] = _token(listing, end)
            if not selector:
                metadata["remainingItemCount"] = len(chosen) - end
        return web.json_response(
            {
                "kind": f"{resource.kind}List",
                "apiVersion": resource.api_version,
                "metadata": metadata,
                "items": chosen[begin:end],
            }
        )

    async def _watch(
        self, request: web.Request, resource: Resource, selector: kube_selectors.Selector
    ) -> web.StreamResponse:
        if request.query.get("sendInitialEvents"):
            raise Refused(422, "Invalid", "sendInitialEvents: Forbidden: not supported by this server")
        version = _number(request, "resourceVersion")
        seconds = _number(request, "timeoutSeconds") or DEFAULT_WATCH_SECONDS
        if version and self.gone_as == "status":
            self._store.check(version)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        watch = Watch(
            store=self._store,
            plural=resource.plural,
            selector=selector,
            version=version,
            seconds=seconds,
            bookmark_seconds=self._bookmark_seconds if _asked(request, "allowWatchBookmarks") else None,
        )
        try:
            try:
                async for kind, manifest in watch.events():
                    await response.write(event_line(kind, typed(manifest, resource)))
            except Gone:
                await response.write(event_line("ERROR", too_old(str(version)).status))
            await response.write_eof()
        except ConnectionResetError:
            # The client hung up, which is how most watches end.
            pass
        return response


def typed(manifest: Manifest, resource: Resource) -> Manifest:
    """Items of a list carry no type, everything else does."""
    return {"kind": resource.kind, "apiVersion": resource.api_version, **manifest}


def too_old(version: str) -> Refused:
    return Refused(
        410, "Expired", f"The resourceVersion or continue token is too old: {version or 'continue'}"
    )


@web.middleware
async def _worded(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refusal:
        return web.json_response(refusal.status, status=refusal.code)


async def _version(_: web.Request) -> web.Response:
    return web.json_response(VERSION)


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ok")


def _asked(request: web.Request, name: str) -> bool:
    return request.query.get(name, "").lower() in ("1", "true")


def _number(request: web.Request, name: str) -> int:
    text = request.query.get(name) or "0"
    if not (text.isascii() and text.isdigit()):
        raise Refused(400, "BadRequest", f"{name}: Invalid value: {text!r}")
    return int(text)


def _token(listing: Listing, begin: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([listing.version, begin]).encode()).decode()


def _open_token(token: str) -> tuple[int, int]:
    try:
        version, begin = json.loads(base64.urlsafe_b64decode(token))
        return int(version), int(begin)
    except (binascii.Error, ValueError, TypeError):
        raise Refused(400, "BadRequest", "continue key is not valid") from None
