"""What people and scripts ask over HTTP: parameters, windows, zones, cursors."""

import base64
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from gpucost.cost_slice import SliceKey
from gpucost.identity import Device, Holder, HolderKind, NodeId
from gpucost.trouble import Reject
from gpucost.units import NS_PER_SECOND
from gpucost.window import from_rfc3339, to_rfc3339
from hypothesis import strategies as st

from fuzz.drawing import changed, json_inputs, texts
from fuzz.target import Target, holds, text_of
from gpucost_aggregator.access.reader import EVERYTHING
from gpucost_aggregator.api.ask import MOST_ROWS, REPORT_PARAMETERS, SLICE_PARAMETERS, read_ask
from gpucost_aggregator.api.problems import BadRequest
from gpucost_aggregator.reports.basis import MEASURED, parse_basis
from gpucost_aggregator.reports.completeness import Completeness
from gpucost_aggregator.reports.period import Period, hint, period
from gpucost_aggregator.store.paging import ORDER, cursor_after, place_from_cursor, place_of

MINUTE_NS = 60 * NS_PER_SECOND
NOW_NS = 1_790_000_000 * NS_PER_SECOND
THROUGH_NS = NOW_NS - NOW_NS % MINUTE_NS - MINUTE_NS
KNOWN = Completeness(THROUGH_NS, MINUTE_NS, 3, (), NOW_NS)
MOST_DENOMINATOR = 10**6
"""A weight has eight signs; money is shared out by its fraction, so that a longer one would cost time in each row."""

windows = st.sampled_from(
    [
        *(
            "1h",
            "24h",
            "7d",
            "today",
            "99999d",
            "0h",
            "1 h",
            "-1h",
            "2026-09-21T08:00:00Z,2026-09-21T09:00:00Z",
        ),
        *("1969-12-31T23:59:59Z,2026-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59,9999-12-31T23:59:59-23:59"),
        *(
            "9999-12-31T23:59:58Z,9999-12-31T23:59:59Z",
            "2026-09-21,2026-09-22",
            "2026-09-21T08:00:00 01:00/now",
            ",",
        ),
    ]
)
zones = st.sampled_from(
    ["UTC", "Europe/Berlin", "Asia/Kathmandu", "../UTC", "Europe", "tzdata.zi", "/etc/passwd", "A" * 300]
)
bases = st.sampled_from(
    [
        "measured",
        "reserved",
        "blend",
        "blend:0.7",
        "blend:1/3",
        "blend:.1234567",
        "blend:9e99999",
        "blend:1e-99999",
    ]
)
decimals = st.from_regex(r"\A[01]?\.?[0-9]{0,7}(e-?[0-9])?\Z").map("blend:{}".format)
hostile = {
    "window": windows,
    "tz": zones,
    "basis": bases | decimals,
    "limit": st.sampled_from(["1", "1000", "10000", "10001", "0", "-1", "\u0663", "\u00b2", "1_0", " 1"]),
    "format": st.sampled_from(["json", "csv", "xml"]),
    "cluster": st.sampled_from(["a,b", ",,", " a , a ", "", "\u2028"]),
    "namespace": texts,
    "cursor": texts,
}
pairs = st.one_of(*(st.tuples(st.just(name), values) for name, values in hostile.items()))
odd_pairs = st.tuples(st.sampled_from(sorted(hostile)), texts) | st.tuples(texts, texts)
queries = st.one_of(
    st.lists(pairs, min_size=1, max_size=2),
    st.lists(pairs, max_size=3),
    st.lists(pairs | odd_pairs, max_size=3),
).map(lambda found: urlencode(found, errors="surrogatepass").encode())


def check_query(data: bytes) -> bool:
    """A question is refused with a hint, or is what its parameters say; its window lies in the closed books."""
    given: dict[str, list[str]] = {}
    try:
        found = parse_qsl(data.decode("latin-1"), keep_blank_values=True, errors="surrogateescape")
    except ValueError:
        return False
    for name, value in found:
        given.setdefault(name, []).append(value)
    taken = False
    for known in (REPORT_PARAMETERS, SLICE_PARAMETERS):
        try:
            ask = read_ask(given, "application/json", known, EVERYTHING)
        except BadRequest as trouble:
            holds(trouble.error and trouble.hint, "a refusal does not say what to do")
            holds(not trouble.parameter or trouble.parameter in given, f"{trouble.parameter!r} was not given")
            continue
        taken = True
        holds(read_ask(given, "application/json", known, EVERYTHING) == ask, "read twice, a question is two")
        holds(set(given) <= set(known), "an unknown parameter is let pass")
        holds(
            1 <= ask.limit <= MOST_ROWS and ask.limit == int(given.get("limit", ["1000"])[0]),
            f"limit {ask.limit}",
        )
        for words, name in ((ask.clusters, "cluster"), (ask.namespaces, "namespace")):
            said = [word.strip() for text in given.get(name, ()) for word in text.split(",")]
            holds(list(words) == list(dict.fromkeys(word for word in said if word)), f"{name} {words}")
        _see_basis(given)
        for closed in (KNOWN, Completeness(None, None, 0, (), None)):
            try:
                asked = period(ask.window, ask.zone, NOW_NS, closed)
            except Reject:
                holds(hint(ask.window), "a refusal does not say what to do")
                continue
            _see_period(asked, closed)
    return taken


def _see_basis(given: Mapping[str, list[str]]) -> None:
    basis = parse_basis(given.get("basis", [MEASURED.name])[0])
    holds(0 <= basis.reserved <= 1, f"{basis} bills more than there is")
    holds(basis.reserved.denominator <= MOST_DENOMINATOR, "its weight is longer than its text")
    holds(parse_basis(basis.name) == basis, f"{basis.name} is printed and means something else")


def _see_period(found: Period, closed: Completeness) -> None:
    asked, answered = found.asked, found.answered
    holds(
        answered.start_ns % closed.step_ns == 0 and answered.end_ns % closed.step_ns == 0,
        "it is not on windows",
    )
    holds(0 <= answered.start_ns <= answered.end_ns, f"{answered} is no stretch")
    holds(asked.start_ns <= asked.end_ns, f"{asked} is no stretch")
    holds(answered.end_ns < 2**63 and answered.start_ns < 2**63, f"{answered} passes 64 bits")
    if answered.length_ns:
        holds(answered.end_ns <= (closed.complete_through_ns or NOW_NS), "it answers what is not closed")
        holds(answered.end_ns <= asked.end_ns, "it answers more than was asked")
    for at_ns in (asked.start_ns, asked.end_ns, answered.start_ns, answered.end_ns):
        # datetime has microseconds; what is read back is as exact as that.
        holds(
            from_rfc3339(to_rfc3339(at_ns)) == at_ns - at_ns % 1_000,
            f"{at_ns} is printed as {to_rfc3339(at_ns)}",
        )


names = st.sampled_from(["", "a", "é", "\u2028", "\0", '"', "x" * 512])
numbers = st.none() | st.integers(0, 2**32 - 1)
keys = st.builds(
    SliceKey,
    st.builds(NodeId, names, names),
    st.builds(Device, names, numbers, numbers, names | st.just("remainder"), numbers),
    names,
    st.builds(Holder, st.sampled_from(list(HolderKind)), names, names, names, names, names),
    st.integers(-(2**63), 2**63 - 1),
)
_CURSOR = cursor_after(
    SliceKey(NodeId("prod", "n1"), Device("GPU-a", 1, 0, "1g.5gb", 4), "gpu", Holder(HolderKind.HOST), NOW_NS)
).encode()


def check_cursor(data: bytes) -> bool:
    """A cursor is refused, or a place of the store's own kind; that of a key is the key's place."""
    text = text_of(data)
    try:
        place = place_from_cursor(text)
    except Reject:
        holds(data != _CURSOR, "a cursor of the store's own is refused")
        return False
    holds(len(place) == len(ORDER), "a place has other parts")
    for part, (name, kind) in zip(place, ORDER, strict=True):
        holds(type(part) is kind, f"{name} is {part!r:.80}")
        holds(not isinstance(part, int) or -(2**63) <= part < 2**63, f"{name} passes 64 bits")
        holds(not isinstance(part, str) or part.encode() is not None, name)
    return True


def check_key(key: SliceKey) -> None:
    """The cursor of a key is its place, in signs that an address can hold."""
    cursor = cursor_after(key)
    holds(place_from_cursor(cursor) == place_of(key), "a cursor is another place than its key's")
    holds(cursor.isascii() and not set(cursor) & set(" +/&?#%"), "a cursor does not fit into an address")


def _cursor_of(key: SliceKey) -> bytes:
    check_key(key)
    return cursor_after(key).encode()


_places = st.tuples(
    st.just("1"),
    *(
        {int: st.integers(-(2**64), 2**64) | st.just(1), str: names | st.just("\ud800"), bool: st.booleans()}[
            kind
        ]
        for _, kind in ORDER
    ),
).map(list)
_QUERY = b"window=24h&tz=Europe/Berlin&basis=blend:0.25&limit=10&cluster=a,b&namespace=chat&format=json"
TARGETS = (
    Target(
        "query",
        (
            "aggregator/gpucost_aggregator/api/ask.py",
            "aggregator/gpucost_aggregator/api/desk.py",
            "aggregator/gpucost_aggregator/reports/period.py",
            "aggregator/gpucost_aggregator/reports/basis.py",
        ),
        st.one_of(
            queries,
            changed([_QUERY, b"window=2026-09-21T08:00:00Z,2026-09-21T09:00:00%2B01:00"], (b"&", b"=", b"%")),
        ),
        check_query,
    ),
    Target(
        "cursor",
        ("aggregator/gpucost_aggregator/store/paging.py",),
        st.one_of(
            keys.map(_cursor_of),
            json_inputs(_places).map(base64.urlsafe_b64encode),
            changed([_CURSOR], (b"=", b"-", b"_", b"IiwgMSwg", b"W1tb")),
        ),
        check_cursor,
    ),
)
