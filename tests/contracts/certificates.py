"""Certificates made for a test: an authority, and pairs of keys, some of them wrong on purpose."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BEGIN = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
END = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Pair:
    ca: Path
    cert: Path
    key: Path


class Authority:
    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("authority")
        made = self._builder(self._name, self._key, END)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self._cert = made.sign(self._key, hashes.SHA256())

    def pair(self, folder: Path, common_name: str, *alternatives: str, expired: bool = False) -> Pair:
        """A certificate in *folder*; an alternative name with :// is a URI, others are names of hosts."""
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._builder(_named(common_name), key, BEGIN + dt.timedelta(days=1) if expired else END)
        if alternatives:
            names = [
                x509.UniformResourceIdentifier(name) if "://" in name else x509.DNSName(name)
                for name in alternatives
            ]
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        pair = Pair(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
        pem = serialization.Encoding.PEM
        pair.ca.write_bytes(self._cert.public_bytes(pem))
        pair.cert.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(pem))
        plain = serialization.NoEncryption()
        pair.key.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        return pair

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, ends: dt.datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(BEGIN)
            .not_valid_after(ends)
        )


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
