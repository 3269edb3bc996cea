"""The API server of the aggregator's own cluster: the one way in which it is asked something."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpucost.trouble import Retry

from gpucost_aggregator.access.exchange import PATIENCE_S, Question, answer_to


@dataclass(frozen=True, slots=True)
class ApiServer:
    """Where the API server is, and files with its authority and with the aggregator's own token."""

    url: str = "https://kubernetes.default.svc"
    ca: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
    token: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass(frozen=True, slots=True)
class ReviewKind:
    """One of the questions that an API server answers without keeping anything."""

    group_version: str
    name: str

    @property
    def path(self) -> str:
        """Where it is posted to."""
        return f"/apis/{self.group_version}/{self.name.lower()}s"


TOKEN_REVIEW = ReviewKind("authentication.k8s.io/v1", "TokenReview")
SUBJECT_ACCESS_REVIEW = ReviewKind("authorization.k8s.io/v1", "SubjectAccessReview")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked at *path*; a *body* is posted, unless *method* says otherwise."""

    path: str
    body: Mapping[str, object] | None = None
    method: str = ""


def ask(server: ApiServer, request: Request, patience_s: float = PATIENCE_S) -> dict[str, Any]:
    """
    The object that *server* answers; blocks for *patience_s* until it is connected, and again until it has answered.

    Raises:
        Retry: It can not be asked, or does not answer with an object.
        NoSuccess: That Retry, where it answers with another status than one of success.
    """
    try:
        # Kubernetes renews it, so it is read each time.
        token = server.token.read_text().strip()
        if not (token.isascii() and token.isprintable()):
            raise ValueError(f"{server.token} holds no token")
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        body = None if request.body is None else json.dumps(request.body).encode()
        question = Question(server.url + request.path, server.ca, headers, body, request.method)
        found = json.loads(answer_to(question, patience_s))
    except (OSError, ValueError, RecursionError) as trouble:
        raise Retry(str(trouble)) from None
    if not isinstance(found, dict):
        raise Retry("an answer that is no object")
    return found


def review(server: ApiServer, kind: ReviewKind, spec: Mapping[str, object]) -> dict[str, Any]:
    """
    What *server* says to a review of *kind*; blocks while it is asked.

    Raises:
        Retry: It can not be asked, or does not answer what was asked.
    """
    body = {"apiVersion": kind.group_version, "kind": kind.name, "spec": spec}
    try:
        status = ask(server, Request(kind.path, body))["status"]
    except (Retry, KeyError) as trouble:
        raise Retry(
            f"{kind.name} at {server.url}: {trouble} (the aggregator's service account needs the role "
            "system:auth-delegator)"
        ) from None
    if not isinstance(status, dict):
        raise Retry(f"{kind.name} at {server.url}: an answer without a status")
    return status
