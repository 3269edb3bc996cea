"""What the application carries for its handlers."""

from aiohttp import web

from gpucost_aggregator.api.desk import Desk
from gpucost_aggregator.api.parts import Parts

PARTS: web.AppKey[Parts] = web.AppKey("parts", Parts)
DESK: web.AppKey[Desk] = web.AppKey("desk", Desk)
