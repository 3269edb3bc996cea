"""How inputs are drawn: texts that parsers stumble over, samples that are changed a little, JSON that is spoiled."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from fuzz.target import bytes_of

LONG_DIGITS = "9" * 5_000
"""More than int() takes from a text."""
DEEP_JSON = "[" * 20_000
"""More than a parser that calls itself can follow."""

ODD_TEXTS = (
    *(
        "",
        " ",
        "\t",
        "\0",
        "\n",
        "\r\n",
        "\x0b",
        "\x1c",
        "\x85",
        "\u2028",
        "\ud800",
        "\ufeff",
        "\u0663",
        "\u00b2",
    ),
    *("0", "-1", "+1", "00", "1_0", "1e9", "1e-9", "1e999999", "9e-99999", "NaN", "nan", "inf", "-Infinity"),
    *("9223372036854775807", "9223372036854775808", "18446744073709551615", "4294967295", LONG_DIGITS),
    *(
        "null",
        "~",
        "true",
        "None",
        "..",
        "../x",
        "%00",
        "{}",
        "[]",
        '"',
        "\\",
        "'",
        ":",
        ",",
        ";",
        "/",
        "=",
        "::",
    ),
    "x" * 600,
)
odd_texts = st.sampled_from(ODD_TEXTS)
texts = st.text(max_size=12) | odd_texts
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([0, 1, -1, 2**31, 2**63, 2**64, 1e308, 0.5, -0.0])
    | st.sampled_from([float("nan"), float("inf")])
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
"""Any JSON at all."""


@st.composite
def changed(draw: st.DrawFn, samples: Sequence[bytes], tokens: Sequence[bytes] = ()) -> bytes:
    """One of *samples* after a few cuts, copies and insertions; *tokens* are what its format is made of."""
    data = draw(st.sampled_from(list(samples)))
    pieces = st.binary(max_size=4) | st.sampled_from([bytes_of(text) for text in ODD_TEXTS])
    if tokens:
        pieces = st.sampled_from(list(tokens)) | pieces
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        end = draw(st.integers(at, min(len(data), at + 40)))
        what = draw(st.sampled_from(["insert", "replace", "cut", "copy", "flip", "rest"]))
        if what == "insert":
            data = data[:at] + draw(pieces) + data[at:]
        elif what == "replace":
            data = data[:at] + draw(pieces) + data[end:]
        elif what == "cut":
            data = data[:at] + data[end:]
        elif what == "copy":
            data = data[:end] + data[at:end] * draw(st.integers(1, 3)) + data[end:]
        elif what == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]
        else:
            data = data[:at]
    return data


@st.composite
def spoiled(draw: st.DrawFn, documents: st.SearchStrategy[Any]) -> bytes:
    """A document as JSON, in which a few values at any depth are something else or gone, or a key is new."""
    document = draw(documents)
    for _ in range(draw(st.integers(0, 3))):
        document = _spoil(draw, document)
    return bytes_of(json.dumps(document, ensure_ascii=draw(st.booleans())))


def json_inputs(documents: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Spoiled documents, any JSON, and what is nearly none."""
    plain = documents.map(lambda value: bytes_of(json.dumps(value)))
    whole = junk.map(lambda value: bytes_of(json.dumps(value)))
    rare = st.one_of(whole, st.just(DEEP_JSON.encode()), st.binary(max_size=9))
    return st.one_of(plain, plain, spoiled(documents), spoiled(documents), rare)


def _spoil(draw: st.DrawFn, value: Any) -> Any:
    """A copy of *value* with one place in it spoiled."""
    if isinstance(value, Mapping) and value and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(value, key=str)))
        if not draw(st.integers(0, 7)):
            return {name: each for name, each in value.items() if name != key}
        return {**value, key: _spoil(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], _spoil(draw, value[at]), *value[at + draw(st.integers(0, 1)) :]]
    if isinstance(value, str) and draw(st.booleans()):
        at = draw(st.integers(0, len(value)))
        return value[:at] + draw(texts) + value[at:]
    return draw(junk)
