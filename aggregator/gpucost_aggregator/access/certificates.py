"""Which clusters the names in a verified client certificate stand for. Pure."""

import re
from collections.abc import Mapping
from urllib.parse import unquote

from gpucost_aggregator.access.caller import Caller, Shown

_IN_A_URI = re.compile(r"spiffe://[^/]+(?:/[^/]+)*?/cluster/([^/]+)(?:/node/([^/]+))?")


def certificate_caller(shown: Shown, mapped: Mapping[str, frozenset[str]]) -> Caller:
    """
    Who the certificate stands for: a common name or a subject's alternative name is the cluster's own.

    A name in *mapped* stands for the clusters there, and for no other. A URI ends with ``/cluster/NAME`` or
    ``/cluster/NAME/node/NODE``, as SPIFFE ids do; the latter speaks for that node alone.
    """
    clusters: set[str] = set()
    nodes: set[str] = set()
    for name in shown.names:
        if name in mapped:
            clusters |= mapped[name]
        elif found := _IN_A_URI.fullmatch(name):
            clusters.add(unquote(found[1]))
            nodes |= {unquote(found[2])} if found[2] else set()
        elif "://" not in name:
            clusters.add(name)
    if len(nodes) > 1:
        # Nobody is two nodes, so nobody knows what its authority meant.
        clusters = set()
    node = min(nodes, default="")
    return Caller(f"certificate {shown.names[0][:200]}", frozenset(clusters), node, may_watch=not node)
