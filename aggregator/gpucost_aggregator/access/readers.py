"""The one place that says who a reader is: by token, by what a trusted proxy says, or anybody where nobody is asked."""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from gpucost_aggregator.access.kube_rights import KubeRights
from gpucost_aggregator.access.kube_user import KubeUser
from gpucost_aggregator.access.reader import EVERYTHING, Reader
from gpucost_aggregator.access.readers_file import ANY_IDENTITY, Entry, Readers
from gpucost_aggregator.access.refusal import Refused, Why
from gpucost_aggregator.access.tokens import LONGEST_TOKEN, matches

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Proxy:
    """
    Addresses whose word on who reads is taken, and the header in which they say it.

    *groups_header* is that of the reader's groups, with commas between them; empty where nobody says them.
    """

    addresses: tuple[Network, ...] = ()
    header: str = "X-Forwarded-User"
    groups_header: str = ""

    def is_trusted(self, address: str | None) -> bool:
        """Whether a connection from *address* is one of such a proxy."""
        try:
            found: IPv4Address | IPv6Address = ip_address(address or "")
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self.addresses)

    def groups(self, headers: Mapping[str, str]) -> tuple[str, ...]:
        """The groups that a request of it names."""
        said = headers.get(self.groups_header, "") if self.groups_header else ""
        return tuple(group.strip() for group in said.split(",") if group.strip())


def _no_file() -> Readers | None:
    return None


@dataclass(frozen=True, slots=True)
class ReaderAccess:
    """
    Who reads. *file* says what the file of readers says now; None where there is none.

    Without a file and without a proxy nobody is asked. With a proxy alone, whom it names may see everything.
    *rights* tell what whom Kubernetes knows may see.
    """

    file: Callable[[], Readers | None] = field(default=_no_file)
    proxy: Proxy = field(default_factory=Proxy)
    rights: KubeRights = field(default_factory=KubeRights)

    @property
    def is_asked(self) -> bool:
        """Whether a reader has to say who it is."""
        return bool(self.proxy.addresses) or self.file() is not None

    def identify(self, headers: Mapping[str, str], address: str | None) -> Reader | KubeUser:
        """
        Who reads, by the *headers* of a request (names in any case) and the *address* of its connection.

        A KubeUser may see nothing yet: what they may see, Kubernetes has to say.

        Raises:
            Refused: Nobody who is known here.
        """
        file = self.file()
        if file is None and not self.proxy.addresses:
            return EVERYTHING
        token = bearer_of(headers.get("Authorization", ""))
        if token:
            return self._by_token(token, file.entries if file else ())
        if self.proxy.is_trusted(address):
            return self._by_identity(headers, file)
        raise _unknown("no token")

    def _by_token(self, token: str, entries: tuple[Entry, ...]) -> Reader:
        found: Reader | None = None
        if len(token) <= LONGEST_TOKEN:
            for entry in entries:
                # All of them, so that the time tells nothing.
                if entry.sha256 and matches(token, entry.sha256):
                    found = found or entry.reader
        if found is None:
            raise _unknown("a token that is not known")
        return found

    def _by_identity(self, headers: Mapping[str, str], file: Readers | None) -> Reader | KubeUser:
        identity = headers.get(self.proxy.header, "").strip()
        if not identity:
            raise _unknown("the proxy named nobody")
        if file is None:
            return Reader(identity[:200])
        for wanted in (identity, ANY_IDENTITY):
            for entry in file.entries:
                if entry.identity == wanted:
                    return entry.reader
        if file.review is not None:
            return file.review.user(identity, self.proxy.groups(headers))
        raise _unknown(f"{identity[:200]} is no reader")


def bearer_of(authorization: str) -> str:
    """The token in an Authorization header: Bearer's, or the password of Basic, which is what browsers send."""
    scheme, _, rest = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        # Bytes that are no text are nobody's token, and nothing that comes after could take them.
        return rest.strip() if _is_text(rest) else ""
    if scheme.lower() != "basic":
        return ""
    try:
        _, _, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return ""
    return password


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unknown(detail: str) -> Refused:
    return Refused(
        Why.UNKNOWN,
        "say who you are: a reader's token as `Authorization: Bearer TOKEN`, or as the password of the browser's form",
        detail,
    )
