"""Certificates and tokens of a run: a server's certificate, and service-account tokens of each cluster's own issuer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import trustme
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

LONG_S = 7 * 86_400
_NAMESPACE, _AGENT, _WATCHER = "gpucost", "gpucost-agent", "gpucost-watcher"


@dataclass
class Identities:
    """What proves who speaks, in files below *folder*."""

    folder: Path
    clusters: tuple[str, ...]
    _keys: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        authority = trustme.CA()
        # Clocks are stepped by a day, and the certificate has to be good all the while.
        server = authority.issue_cert("127.0.0.1", not_after=datetime.now(UTC) + timedelta(days=365))
        authority.cert_pem.write_to_path(str(self.ca))
        server.private_key_pem.write_to_path(str(self.key))
        server.cert_chain_pems[0].write_to_path(str(self.certificate))
        issuers = [self._issuer(cluster) for cluster in self.clusters]
        self.writers.write_text(yaml.safe_dump({"issuers": issuers}), encoding="utf-8")

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def certificate(self) -> Path:
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        return self.folder / "server.key"

    @property
    def writers(self) -> Path:
        """The aggregator's file of writers."""
        return self.folder / "writers.yaml"

    def token_file(self, cluster: str, node: str | None) -> Path:
        """The file that an agent reads, or, without a node, the cluster's watcher."""
        return self.folder / f"{cluster}-{node or 'watcher'}.token"

    def renew(self, cluster: str, node: str | None, seconds: int = LONG_S) -> None:
        """Put a token into that file that ends in so many seconds."""
        now = int(datetime.now(UTC).timestamp())
        account = _AGENT if node else _WATCHER
        claims: dict[str, Any] = {
            "iss": _address(cluster),
            "sub": f"system:serviceaccount:{_NAMESPACE}:{account}",
            "aud": ["gpucost"],
            "iat": now,
            "nbf": now - 60,
            "exp": now + seconds,
            "kubernetes.io": {"namespace": _NAMESPACE, "node": {"name": node}} if node else {},
        }
        text = jwt.encode(claims, self._keys[cluster], algorithm="ES256", headers={"kid": cluster})
        file = self.token_file(cluster, node)
        draft = file.with_suffix(".new")
        draft.write_text(text, encoding="ascii")
        draft.replace(file)

    def _issuer(self, cluster: str) -> dict[str, Any]:
        key = self._keys[cluster] = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(ECAlgorithm.to_jwk(key.public_key())) | {
            "kid": cluster,
            "use": "sig",
            "alg": "ES256",
        }
        keys = self.folder / f"{cluster}.jwks"
        keys.write_text(json.dumps({"keys": [public]}), encoding="utf-8")
        return {
            "issuer": _address(cluster),
            "keys": str(keys),
            "cluster": cluster,
            "agents": [f"{_NAMESPACE}:{_AGENT}"],
            "watchers": [f"{_NAMESPACE}:{_WATCHER}"],
        }


def _address(cluster: str) -> str:
    return f"https://kubernetes.{cluster}.example"
