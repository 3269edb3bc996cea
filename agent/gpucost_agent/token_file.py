"""The agent's token: read anew for each stream, as Kubernetes and operators change what the file holds."""

import re
from pathlib import Path

from gpucost.trouble import Retry

_MOST_BYTES = 16_384
_TOKEN = re.compile(r"[\x21-\x7e]+")

Metadata = tuple[tuple[str, str], ...]


def token_metadata(file: Path | None) -> Metadata:
    """
    What a call carries to say who calls; nothing where there is no *file*.

    Raises:
        Retry: The file can not be read, is empty, or holds something else than one token. No text of it is told.
    """
    if file is None:
        return ()
    try:
        with file.open("rb") as reading:
            raw = reading.read(_MOST_BYTES + 1)
    except OSError as trouble:
        raise Retry(
            f"--token-file {file}: can not be read: {trouble.strerror}: windows wait in the spool until it can"
        ) from None
    token = raw.decode("ascii", "replace").strip()
    if not token:
        raise Retry(
            f"--token-file {file}: is empty: write the token of `gpucost-aggregator join CLUSTER` into it"
        )
    if len(raw) > _MOST_BYTES or not _TOKEN.fullmatch(token):
        raise Retry(
            f"--token-file {file}: holds something else than one token: write the token and nothing else"
        )
    return (("authorization", f"Bearer {token}"),)
