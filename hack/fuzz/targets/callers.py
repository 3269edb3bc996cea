"""What callers show of themselves before anybody knows them, and the files that say who they may be."""

import base64
import json

from gpucost.trouble import Reject
from gpucost.yaml_marks import parse_yaml
from hypothesis import strategies as st

from fuzz.drawing import changed, json_inputs, odd_texts
from fuzz.shapes import see_typed
from fuzz.target import Target, holds, text_of
from gpucost_aggregator.access.readers_file import ANY_IDENTITY, SHORTEST_TOKEN, Readers, parse_readers
from gpucost_aggregator.access.refusal import Refused
from gpucost_aggregator.access.service_accounts import account_caller, peek
from gpucost_aggregator.access.tokens import LONGEST_TOKEN, id_of
from gpucost_aggregator.access.writers_file import Accounts, parse_writers

ACCOUNTS = Accounts("prod", frozenset({"gpucost:agent"}), frozenset({"gpucost:watcher"}), "gpucost")
SUBJECT = "system:serviceaccount:gpucost:agent"


def _part(text: bytes) -> bytes:
    return base64.urlsafe_b64encode(text).rstrip(b"=")


_HEADER = _part(b'{"alg":"RS256","kid":"k1","typ":"JWT"}')
claims = st.fixed_dictionaries(
    {
        "iss": st.just("https://kubernetes.default.svc"),
        "sub": st.sampled_from([SUBJECT, "system:serviceaccount:gpucost:other", "alice"]),
        "aud": st.just(["gpucost"]),
        "exp": st.sampled_from([1_800_000_000, 0, -1, 2**63, 1.5]),
    },
    optional={
        "nbf": st.just(1_790_000_000),
        "kubernetes.io": st.just({"node": {"name": "n1"}, "namespace": "gpucost"})
        | st.just("x")
        | st.just([]),
    },
)
jwts = json_inputs(claims).map(lambda body: b".".join([_HEADER, _part(body), b"c2ln"]))
STATIC = b"gpc_0123456789ab_" + b"A" * 43
token_bytes = st.one_of(jwts, jwts, changed([STATIC, _HEADER + b".e30.c2ln"], (b".", b"_", b"gpc_")))


def check_token(data: bytes) -> bool:
    """A token is refused by Refused, or says who it is; one that nobody signed says no more than its text."""
    token = text_of(data)[:LONGEST_TOKEN]
    found = id_of(token)
    holds(not found or token.startswith(f"gpc_{found}_"), f"{found!r} is not the id in {token!r}")
    holds(data != STATIC or found == "0123456789ab", "a token that was made here has no id")
    try:
        said = peek(token)
    except Refused:
        return bool(found)
    see_typed(said)
    body = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    holds((said.issuer, said.subject) == (str(body["iss"]), str(body["sub"])), f"{said} is not {body}")
    try:
        caller = account_caller(said, ACCOUNTS)
    except Refused:
        holds(said.subject != SUBJECT, "the account of the agents is refused")
        return True
    holds(said.subject in (SUBJECT, SUBJECT.replace("agent", "watcher")), f"{said.subject} may write")
    holds(caller.may_watch == said.subject.endswith("watcher"), f"{said.subject} may watch")
    return True


READERS = b"""readers:
- name: team-a
  token: 0123456789abcdefghij
  clusters: [prod]
  namespaces: [chat, shop]
- name: alice
  identity: alice@example.com
- {name: bot, token_sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}
review:
  cluster: prod
  user_prefix: "oidc:"
"""
WRITERS = b"""certificates:
- name: agent.prod.example
  clusters: [prod]
issuers:
- cluster: lab
  issuer: https://kubernetes.default.svc
  keys: /etc/gpucost/lab.jwks
  agents: [gpucost:agent]
  watchers: [gpucost:watcher]
review:
  cluster: prod
  agents: [gpucost:agent]
"""
_TOKENS = (
    *(
        b"readers:",
        b"name: ",
        b"token: ",
        b"identity: ",
        b"clusters: ",
        b"[]",
        b"{}",
        b"- ",
        b"\n",
        b": ",
        b"~",
        b"'",
    ),
    *(b"certificates:", b"issuers:", b"review:", b"agents: [a:b]", b"http://", b"a:b:c", b'"\\0"'),
    *(b'identity: "*"', b"review: {cluster: lab}", b"group_prefix: ", b"system:"),
)
file_bytes = st.one_of(
    changed([READERS, WRITERS], _TOKENS),
    st.builds(
        lambda text, word: text.replace(b"prod", word.encode("utf-8", "replace")),
        st.sampled_from([READERS, WRITERS]),
        odd_texts,
    ),
)


def check_files(data: bytes) -> bool:
    """A file is refused with its place, or its readers and writers are named, and no secret is in a refusal."""
    text = data.decode("utf-8", "replace")
    taken = False
    for parse in (parse_readers, parse_writers):
        try:
            found = parse(parse_yaml(text, "f.yaml"))
        except Reject as trouble:
            holds(str(trouble).startswith("f.yaml:"), f"a refusal names no place: {trouble}")
            holds("0123456789abcdefghij" not in str(trouble), "a refusal tells a token")
            continue
        taken = True
        holds(parse(parse_yaml(text, "f.yaml")) == found, "read twice, a file says two things")
        see_typed(found)
        if isinstance(found, Readers):
            see_readers(found)
    holds(data != READERS or len(parse_readers(parse_yaml(text, "f")).entries) == 3, "readers were lost")
    holds(SHORTEST_TOKEN >= 20, "tokens may be guessed")
    return taken


def see_readers(found: Readers) -> None:
    """Whoever reads is known by one thing, and nobody by a name of Kubernetes' own."""
    for entry in found.entries:
        holds(bool(entry.sha256) != bool(entry.identity), f"{entry} is known by both, or by nothing")
        holds(entry.reader.name, "a reader has no name")
    if found.review is None:
        return
    holds(found.review.cluster, "nobody knows whose API server is asked")
    holds(
        all(entry.identity != ANY_IDENTITY for entry in found.entries), "everybody is named, and asked about"
    )
    user = found.review.user("alice", ("dev", "system:masters"))
    own = [name for name in (user.name, *user.groups) if name.startswith("system:")]
    holds(own == ["system:authenticated"], f"{user} is one of Kubernetes' own")


_ROOM = "aggregator/gpucost_aggregator/access"
TARGETS = (
    Target("tokens", (f"{_ROOM}/service_accounts.py", f"{_ROOM}/tokens.py"), token_bytes, check_token),
    Target(
        "access_files",
        (
            *(f"{_ROOM}/{name}_file.py" for name in ("readers", "writers")),
            f"{_ROOM}/kube_user.py",
            f"{_ROOM}/yaml_words.py",
        ),
        file_bytes,
        check_files,
    ),
)
