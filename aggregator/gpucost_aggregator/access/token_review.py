"""TokenReview: the API server of the aggregator's own cluster is asked whose a token is."""

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpucost.trouble import Retry

from gpucost_aggregator.access.caller import Caller
from gpucost_aggregator.access.service_accounts import Claims, account_caller, peek, unknown
from gpucost_aggregator.access.writers_file import Accounts

_NODE = "authentication.kubernetes.io/node-name"
_PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
_TIMEOUT_S = 5.0
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ApiServer:
    """Where the API server is, and files with its authority and with the aggregator's own token."""

    url: str = "https://kubernetes.default.svc"
    ca: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
    token: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def reviewed_caller(token: str, accounts: Accounts, server: ApiServer) -> Caller:
    """
    Whose *token* is, as *server* says; blocks while it is asked.

    Raises:
        Refused: It says that the token is not valid for the audience, or its account is none of *accounts*.
        Retry: It can not be asked.
    """
    said = peek(token)
    account_caller(said, accounts)  # What would be refused anyway is not worth a request.
    status = _ask(token, accounts.audience, server)
    if not status.get("authenticated") or accounts.audience not in status.get("audiences", ()):
        raise unknown(f"the API server does not know the token: {str(status.get('error', ''))[:200]}")
    user = status.get("user") or {}
    node = ((user.get("extra") or {}).get(_NODE) or [""])[0]
    # An API server before 1.30 does not tell the node, and the token that it found valid may.
    return account_caller(
        Claims(said.issuer, str(user.get("username", "")), str(node) or said.node, said.until_ns), accounts
    )


def _ask(token: str, audience: str, server: ApiServer) -> dict[str, Any]:
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [audience]},
    }
    try:
        request = urllib.request.Request(  # noqa: S310  # the address is a constant of the program
            server.url + _PATH,
            json.dumps(body).encode(),
            {
                "Content-Type": "application/json",
                "Authorization": f"Bearer {server.token.read_text().strip()}",
            },
        )
        context = ssl.create_default_context(cafile=server.ca) if server.url.startswith("https:") else None
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=context) as answer:  # noqa: S310
            status = json.loads(answer.read(_MOST_BYTES))["status"]
    except (OSError, ValueError, KeyError, TypeError) as trouble:
        raise Retry(
            f"TokenReview at {server.url}: {trouble} (the aggregator's service account needs the role "
            "system:auth-delegator)"
        ) from None
    if not isinstance(status, dict):
        raise Retry(f"TokenReview at {server.url}: an answer without a status")
    return status
