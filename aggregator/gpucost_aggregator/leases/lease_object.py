"""The Lease object at the API server: read, made, and replaced as it was seen, or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from gpucost.trouble import Retry

from gpucost_aggregator.access.api_server import ApiServer, Request, ask
from gpucost_aggregator.access.exchange import NoSuccess
from gpucost_aggregator.leases.lease_record import LeaseRecord, parse_lease

PATIENCE_S = 2.0
"""For a connection, and again for the answer: within ten seconds there are two tries more."""

_GROUP_VERSION = "coordination.k8s.io/v1"


class Overtaken(Retry):
    """Somebody else made, replaced or deleted the object since it was seen."""


@dataclass(frozen=True, slots=True)
class LeaseObject:
    """One Lease, by *namespace* and *name*; every call blocks while *server* is asked, ten seconds at most."""

    namespace: str
    name: str
    server: ApiServer
    patience_s: float = PATIENCE_S

    def read(self) -> LeaseRecord | None:
        """
        As it is now; None where there is none.

        Raises:
            Retry: The API server can not be asked.
        """
        try:
            return self._ask(Request(f"{self._folder}/{self.name}"))
        except NoSuccess as trouble:
            if trouble.status == HTTPStatus.NOT_FOUND:
                return None
            raise self._said(trouble) from None

    def make(self, spec: Mapping[str, Any]) -> LeaseRecord:
        """
        The object with *spec*, made.

        Raises:
            Overtaken: There is one.
            Retry: The API server can not be asked, or does not let us.
        """
        return self._write(Request(self._folder, self._body({"name": self.name}, spec), "POST"))

    def replace(self, seen: LeaseRecord, spec: Mapping[str, Any]) -> LeaseRecord:
        """
        The object as it was *seen*, with another *spec*: its resourceVersion goes along, so that the first one wins.

        Raises:
            Overtaken: It is not as it was seen.
            Retry: As in `make`.
        """
        body = self._body(seen.metadata, spec)
        return self._write(Request(f"{self._folder}/{self.name}", body, "PUT"))

    @property
    def _folder(self) -> str:
        return f"/apis/{_GROUP_VERSION}/namespaces/{self.namespace}/leases"

    def _body(self, metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
        return {"apiVersion": _GROUP_VERSION, "kind": "Lease", "metadata": dict(metadata), "spec": dict(spec)}

    def _write(self, request: Request) -> LeaseRecord:
        try:
            return self._ask(request)
        except NoSuccess as trouble:
            # 404 of a namespace that is not there is told by the next read, which finds no object either.
            if trouble.status == HTTPStatus.CONFLICT or (
                trouble.status == HTTPStatus.NOT_FOUND and request.method == "PUT"
            ):
                raise Overtaken(str(trouble)) from None
            raise self._said(trouble) from None

    def _ask(self, request: Request) -> LeaseRecord:
        return parse_lease(ask(self.server, request, self.patience_s))

    def _said(self, trouble: NoSuccess) -> Retry:
        if trouble.status not in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
            return Retry(str(trouble))
        return Retry(
            f"{trouble} (the aggregator's service account needs get, create and update of leases in the namespace "
            f"{self.namespace}, which has to be there)"
        )
