"""`join`: what another cluster's agents need, to write here; and how that is taken away again."""

import json

from gpucost.setting import Command, Setting
from gpucost.settings_source import HostPort, boolean, choice, host_port, text
from gpucost.trouble import EXIT_SETTINGS, Stop

from gpucost_aggregator.admin.operator_command import Call, OperatorCommand

CLUSTER = Setting("cluster", text, "", "the cluster's name, as its agents' --cluster has it", required=True)
ADDRESS = Setting[HostPort | None](
    "address",
    host_port,
    None,
    "HOST:PORT at which the agents reach this aggregator. Not set, it is --grpc-listen, where that is one address.",
)
OUTPUT = Setting("output", choice("text", "json"), "text", "text for people, or json for a program.")
REVOKE = Setting[str | None](
    "revoke", text, None, "Take the token with this id away instead; streams that began with it end."
)
UNBIND = Setting[bool](
    "unbind",
    boolean,
    False,
    "Forget instead which cluster has this name, after it was made anew; the next that says it has the name keeps it.",
)


def _join(call: Call) -> int:
    cluster, revoked, unbind = call.value(CLUSTER), call.value(REVOKE), call.value(UNBIND)
    if revoked is not None and unbind:
        raise Stop("--revoke and --unbind are two things: ask for one after the other", EXIT_SETTINGS)
    if revoked is not None:
        done = call.client.post("/join/revoke", {"cluster": cluster, "token_id": revoked})
        return _tell(
            call,
            done,
            f"Token {revoked} of {cluster} is valid no more; {done['streams_ended']} streams ended.",
        )
    if unbind:
        done = call.client.post("/join/unbind", {"cluster": cluster})
        return _tell(
            call,
            done,
            f"The name {cluster} is free; it belonged to the cluster with the UID {done['cluster_uid']}.",
        )
    done = call.client.post("/join", {"cluster": cluster})
    given = call.value(ADDRESS)
    done["address"] = str(given) if given is not None else _reachable(done["address"])
    return _tell(call, done, _words(done))


def _tell(call: Call, done: dict[str, object], words: str) -> int:
    call.line(json.dumps(done, ensure_ascii=False) if call.value(OUTPUT) == "json" else words)
    return 0


def _reachable(address: str) -> str | None:
    host = address.rpartition(":")[0]
    return None if host in ("", "0.0.0.0", "[::]") else address  # noqa: S104  # compared, never bound


def _words(done: dict[str, object]) -> str:
    cluster, token_id = done["cluster"], done["token_id"]
    lines = [
        f"Cluster {cluster} may write here. Its agents need two values:",
        "",
        f"  --aggregator   {done['address'] or 'HOST:PORT, where they reach --grpc-listen of this aggregator'}",
        f"  --token-file   a file that holds  {done['token']}",
        "",
        "The token is shown this once; only its hash is kept. Put it into a Secret of that cluster.",
        f"It ends with `gpucost-aggregator join {cluster} --revoke {token_id}`.",
    ]
    others = [each for each in done["tokens"] if each != token_id]  # type: ignore[attr-defined]  # a JSON list
    if others:
        lines.append(f"Valid beside it until then: {', '.join(others)}.")
    if not done["encrypted"]:
        lines.append(
            "Streams are plain text here, and so is the token on its way: set --tls-cert and --tls-key."
        )
    return "\n".join(lines)


COMMANDS = (
    OperatorCommand(
        Command(
            "join",
            "Let a cluster's agents write here: prints the address and the token that they need, once.",
            (ADDRESS, OUTPUT, REVOKE, UNBIND),
            (CLUSTER,),
        ),
        _join,
    ),
)
