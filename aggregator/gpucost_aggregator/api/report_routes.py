"""Reports: one handler each, as JSON and CSV."""

from collections.abc import Callable, Sequence

from aiohttp import web
from gpucost.window import to_rfc3339

from gpucost_aggregator.api.as_csv import report_csv
from gpucost_aggregator.api.as_fields import (
    Fields,
    Subject,
    idle_fields,
    model_fields,
    namespace_fields,
    shadow_fields,
)
from gpucost_aggregator.api.as_json import cannot_tell_body, report_body
from gpucost_aggregator.api.ask import REPORT_PARAMETERS, query_of, read_ask
from gpucost_aggregator.api.desk import Settled
from gpucost_aggregator.api.identification import reader_of
from gpucost_aggregator.api.keys import DESK
from gpucost_aggregator.api.problems import json_response
from gpucost_aggregator.reports.idle import Idle
from gpucost_aggregator.reports.report import Report, only_of_holders
from gpucost_aggregator.reports.shadow import Shadow

NAMESPACE_COLUMNS = ("cluster", "namespace")
MODEL_COLUMNS = ("model", "model_sources", "stacks", "clusters", "namespaces", "pods")
_DEVICE = ("cluster", "node", "gpu_uuid", "gi", "ci", "profile", "placement", "device_name")
_HOLDER = ("holder_kind", "namespace", "pod", "pod_uid", "container")
IDLE_COLUMNS = (
    *_DEVICE,
    "can_be_held",
    *_HOLDER,
    *("gpu_model", "model", "owner_kind", "owner_name"),
    *("idle_since", "idle_since_or_earlier", "idle_now", "shadow_now", "never_used", "idle_ignored"),
    "pace_nanodollars_per_hour",
)
SHADOW_COLUMNS = (
    *_DEVICE,
    *_HOLDER,
    *("gpu_model", "owner_kind", "owner_name", "first_use", "last_use"),
    *("holders", "holders_in_all", "holders_unknown"),
)

ROUTES = web.RouteTableDef()


@ROUTES.get("/api/v1/reports/namespaces")
async def namespaces(request: web.Request) -> web.Response:
    """What each namespace cost."""
    settled = await _settle(request)
    report = await request.app[DESK].namespaces(settled)
    return _face(settled, report, namespace_fields, NAMESPACE_COLUMNS)


@ROUTES.get("/api/v1/reports/models")
async def models(request: web.Request) -> web.Response:
    """What each model cost, over all clusters."""
    settled = await _settle(request)
    report = await request.app[DESK].models(settled)
    return _face(settled, report, model_fields, MODEL_COLUMNS)


@ROUTES.get("/api/v1/reports/idle")
async def idle(request: web.Request) -> web.Response:
    """Which GPUs were idle, who held them, and apart from them what is not known."""
    settled = await _settle(request)
    found = await request.app[DESK].idle(settled)
    cannot_tell = cannot_tell_body(found.cannot_tell, settled.ask.limit)
    return _face(settled, found.report, _idle_fields, IDLE_COLUMNS, {"cannot_tell": cannot_tell})


@ROUTES.get("/api/v1/reports/shadow")
async def shadow(request: web.Request) -> web.Response:
    """Who used GPUs that nobody gave to them."""
    settled = await _settle(request)
    return _face(settled, await request.app[DESK].shadow(settled), _shadow_fields, SHADOW_COLUMNS)


async def _settle(request: web.Request) -> Settled:
    accept = request.headers.get("Accept", "")
    ask = read_ask(query_of(request), accept, REPORT_PARAMETERS, reader_of(request))
    return await request.app[DESK].settle(ask)


def _face(
    settled: Settled,
    report: Report[Subject],
    fields: Callable[[Subject], Fields],
    columns: Sequence[str],
    beside: Fields | None = None,
) -> web.Response:
    if settled.ask.reader.sees_holders_only:
        report = only_of_holders(report)
    if settled.ask.format == "csv":
        return web.Response(
            text=report_csv(report, fields, columns), content_type="text/csv", charset="utf-8"
        )
    return json_response(report_body(settled, report, fields) | (beside or {}))


def _idle_fields(subject: Idle) -> Fields:
    return idle_fields(subject, to_rfc3339)


def _shadow_fields(subject: Shadow) -> Fields:
    return shadow_fields(subject, to_rfc3339)
