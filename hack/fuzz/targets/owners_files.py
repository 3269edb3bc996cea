"""What people write: price books, settings in files, variables and flags, scenarios."""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from gpucost.cost_slice import Price
from gpucost.price_book import MAX_USD_PER_HOUR, GpuContext, PriceBook, price_from_text
from gpucost.setting import Loaded
from gpucost.settings_source import load
from gpucost.trouble import Reject, Stop
from gpucost.units import NANODOLLARS_PER_USD
from gpucost.yaml_marks import MAX_DEPTH, Block, Listing, Node, Scalar, parse_yaml
from hypothesis import strategies as st

from fuzz.drawing import changed, odd_texts
from fuzz.shapes import see_typed
from fuzz.target import Target, bytes_of, holds, text_of
from gpucost_agent.settings import PROGRAM as AGENT
from gpucost_aggregator.settings import PROGRAM as AGGREGATOR
from simnode.scenario import Scenario, ScenarioError
from simnode.scenario import load as load_scenario

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
YAML_TOKENS = (
    *(
        b": ",
        b"- ",
        b"\n",
        b"\n  ",
        b"{",
        b"}",
        b"[",
        b"]",
        b"&a ",
        b"*a",
        b"!!int ",
        b"!!bool ",
        b"!!timestamp ",
    ),
    *(
        b"!!float ",
        b"!!binary ",
        b"!x ",
        b"'",
        b'"',
        b"|\n",
        b">\n",
        b"#",
        b"?",
        b"---\n",
        b"...\n",
        b"%YAML 1.1\n---\n",
    ),
    *(
        b'"\\U00110000"',
        b'"\\uD800"',
        b'"\\xff"',
        b"~",
        b"<<: ",
        b"0x_",
        b"1:60",
        b"0o8",
        b".inf",
        b".nan",
        b"=",
        b"\xef\xbb\xbf",
    ),
    *(
        b"[" * 60,
        b"{a: " * 60,
        b"- " * 60,
        b"[" * 3_000,
        b"2026-13-45",
        b"%YAML 99999999999999999999.1\n---\n",
    ),
)
BOOK = """version: 2026-11
rules:
  - name: lab
    date: 2026-10-01
    source: "contract 7"
    match: {cluster: "lab-*", node_labels: {pool: "a?"}, gpu_model: NVIDIA L4}
    gpu_usd_per_hour: 4.200000001
    valid_from: 2026-01-01T00:00:00Z
    valid_until: 2027-01-01T00:00:00+01:00
  - name: rest
    date: 2026-10-01
    match: {}
    node_usd_per_hour: 12
"""
CONTEXT = GpuContext("lab-1", {"pool": "ax"}, {}, "NVIDIA L4", ("GPU-a",))

amounts = (
    st.builds("{}.{}".format, st.integers(0, 10**7), st.integers(0, 10**11))
    | odd_texts
    | st.from_regex(r"[0-9]+(\.[0-9]+)?")
)
books = st.builds(
    lambda price, name, source, begin: bytes_of(
        f"version: {json.dumps(name)}\nrules:\n- name: lab\n  date: 2026-10-01\n  source: {json.dumps(source)}\n"
        f"  match: {{}}\n  gpu_usd_per_hour: {json.dumps(price)}\n  valid_from: {json.dumps(begin)}\n"
    ),
    amounts,
    odd_texts,
    odd_texts,
    st.sampled_from(["2026-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "x"])
    | odd_texts,
)


def check_book(data: bytes) -> bool:
    """A book is refused with its place, or its prices are the amounts that stand there, to the nano-dollar."""
    text = text_of(data)
    _see_amount(text)
    if not _is_written(text):
        return False
    try:
        book = PriceBook.parse(text, "book.yaml")
    except Reject as trouble:
        holds(str(trouble).startswith("book.yaml:"), f"a refusal names no place: {trouble}")
        return False
    see_typed(book)
    holds(PriceBook.parse(text, "book.yaml") == book, "read twice, a book says two things")
    holds(book.sha256 == hashlib.sha256(text.encode()).hexdigest(), "another hash")
    holds(len({rule.name for rule in book.rules}) == len(book.rules), "a name stands twice")
    for rule in book.rules:
        holds(
            0 <= rule.nanodollars_per_hour <= MAX_USD_PER_HOUR * NANODOLLARS_PER_USD,
            f"{rule} costs what nothing costs",
        )
        see_typed(Price(rule.nanodollars_per_hour, f"book:{rule.name}", rule.date))
    if text == BOOK:
        holds([rule.nanodollars_per_hour for rule in book.rules] == [4_200_000_001, 12 * 10**9], f"{book}")
    first = book.first(CONTEXT, 1_767_225_600 * 10**9)
    fits = [rule for rule in book.rules if rule.match.fits(CONTEXT) and rule.holds(1_767_225_600 * 10**9)]
    holds(first == (fits[0] if fits else None), "not the first rule that fits")
    return True


def _see_amount(text: str) -> None:
    """Any text is an amount to the nano-dollar, or raises ValueError."""
    try:
        price = price_from_text(text)
    except ValueError:
        return
    holds(0 <= price <= MAX_USD_PER_HOUR * NANODOLLARS_PER_USD, f"{text!r} costs what nothing costs")
    whole, _, rest = text.partition(".")
    holds(price == int(whole) * 10**9 + int(rest.ljust(9, "0")[:9]), f"{text!r} is {price}")


def check_yaml(data: bytes) -> bool:
    """A file is refused with its place, or its values are texts of it, each once, no deeper than is allowed."""
    text = text_of(data)
    if not _is_written(text):
        return False
    try:
        block = parse_yaml(text, "f.yaml")
    except Reject as trouble:
        holds(str(trouble).startswith("f.yaml:"), f"a refusal names no place: {trouble}")
        return False
    lines = (
        text.count("\n")
        + text.count("\r")
        + text.count("\x85")
        + text.count("\u2028")
        + text.count("\u2029")
        + 1
    )
    holds(_see_node(block, 0, lines) <= 2 * len(text) + 1, "there are more values than characters")
    holds(parse_yaml(text, "f.yaml") == block, "read twice, a file says two things")
    return bool(block.entries)


def _see_node(node: Node, depth: int, lines: int) -> int:
    """How many values there are in *node*."""
    holds(depth <= MAX_DEPTH + 1, "it is deeper than is allowed")
    holds(1 <= node.mark.line <= lines and node.mark.column >= 1, f"{node.mark} is not in the file")
    if isinstance(node, Scalar):
        see_typed(node)
        holds(not (node.is_null and node.text), "a null has a text")
        return 1
    if isinstance(node, Listing):
        return 1 + sum(_see_node(item, depth + 1, lines) for item in node.items)
    holds(isinstance(node, Block), f"{node!r} is no node")
    return 1 + sum(_see_node(entry.value, depth + 1, lines) for entry in node.entries.values())


one_token = st.sampled_from(YAML_TOKENS)
SETTINGS = """cluster: prod
node: n1
window_seconds: 30
log_level: info
spool_dir: /var/lib/gpucost
device_resources: [a/b, c/d]
"""
values = odd_texts | st.sampled_from(
    ["10", "60", "127.0.0.1:8080", "[::1]:443", ":0", "h:65536", "https://h:1/", "512MiB", "9TiB"]
)
_KEYS = sorted({setting.key for program in (AGENT, AGGREGATOR) for setting in program.settings})
said = st.fixed_dictionaries(
    {
        "environment": st.dictionaries(
            st.sampled_from(_KEYS).map(lambda key: f"GPUCOST_{key.upper()}"), values, max_size=2
        )
        | st.just({"GPUCOST_CLUSTR": "x"})
        | st.just({"GPUCOST_AGGREGATOR_SERVICE_HOST": "10.0.0.1"}),
        "arguments": st.lists(
            st.builds("--{}={}".format, st.sampled_from(_KEYS).map(lambda key: key.replace("_", "-")), values)
            | values
            | st.sampled_from(["run", "check", "version", "--cluster", "--insecure", "-x"]),
            max_size=3,
        ),
        "file": changed([SETTINGS.encode(), b"cluster: prod\n"], YAML_TOKENS).map(text_of) | st.just(""),
    }
)


def check_settings(data: bytes) -> bool:
    """Settings stop the program in words, or are values that can be written down and are the same when read again."""
    given: dict[str, Any] = json.loads(text_of(data))
    taken = False
    for program in (AGENT, AGGREGATOR):
        with tempfile.NamedTemporaryFile("wb", suffix=".yaml") as file:
            file.write(bytes_of(given["file"]))
            file.flush()
            environment = {"GPUCOST_CONFIG": file.name, **given["environment"]}
            if "cluster" not in given["file"]:
                environment.setdefault("GPUCOST_CLUSTER", "prod")
            try:
                first, second = (load(program, given["arguments"], environment) for _ in range(2))
            except Stop as trouble:
                holds(trouble.exit_code == 2 and str(trouble), "it stops without a word")
                continue
            except SystemExit as ended:
                holds(ended.code == 0, "help ends badly")
                continue
        holds(first == second, "read twice, settings say two things")
        _see_values(first)
        taken = True
    return taken


def _see_values(loaded: Loaded) -> None:
    for name, value in loaded.values.items():
        for part in value if isinstance(value, tuple) else (value,):
            # Names of files may be bytes that are no text, and come as halves of characters.
            holds(
                isinstance(part, Path) or _is_written(str(part)),
                f"{name} is {str(part)!r:.80}, which no message and no file can hold",
            )
            holds("\0" not in str(part), f"{name} holds a zero, which no path and no name may")


def check_scenario(data: bytes) -> bool:
    """A scenario is refused with its place, or loads, the same each time for the same seed."""
    with tempfile.NamedTemporaryFile("wb", suffix=".yaml") as file:
        file.write(data)
        file.flush()
        try:
            first: Scenario = load_scenario(file.name, 7)
        except ScenarioError as trouble:
            holds(str(trouble).startswith(f"{file.name}:"), f"a refusal names no place: {trouble}")
            return False
        holds(load_scenario(file.name, 7) == first, "read twice, a scenario says two things")
    return True


def _is_written(text: str) -> bool:
    """Whether *text* can stand in a file of UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_SCENARIO = b"""name: t
clusters:
  - name: c
    nodes:
      - name: n
        gpus:
          - {model: NVIDIA H100 80GB HBM3, replicas: 2}
        pods:
          - name: p
            namespace: a
            containers:
              - name: x
                gpus: [{gpu: 0, replicas: 1}]
                processes: [{gpu: 0, memory_mib: 100, busy: {pattern: constant, share: 0.5}, start: 1m30s}]
"""
_SCENARIO_TOKENS = (
    *YAML_TOKENS,
    *(b"!!int ''", b"!!bool x", b"!!timestamp x", b"!!float ''", b"9" * 5_000 + b"s", b"1e400"),
)
scenario_token = st.sampled_from(_SCENARIO_TOKENS)
scenario_bytes = st.one_of(
    changed([_SCENARIO, (SCENARIOS / "other.yaml").read_bytes()], _SCENARIO_TOKENS),
    st.builds(
        lambda key, one, two: _SCENARIO.replace(key, key + one + two, 1),
        st.sampled_from(
            [b"name: ", b"replicas: ", b"share: ", b"start: ", b"model: ", b"clusters:", b"gpus:"]
        ),
        scenario_token,
        scenario_token | st.just(b""),
    ),
)
yaml_bytes = st.one_of(
    changed([BOOK.encode(), SETTINGS.encode(), b"a: 1\n"], YAML_TOKENS),
    st.builds(lambda *parts: b"".join(parts), st.just(b"a: "), one_token, one_token, st.just(b"\n")),
)
_YAML = "proto/gpucost/yaml_marks.py"
_SETTINGS = (
    "proto/gpucost/settings_reading.py",
    "proto/gpucost/settings_source.py",
    "proto/gpucost/settings_values.py",
    "agent/gpucost_agent/settings.py",
    "aggregator/gpucost_aggregator/settings.py",
)
TARGETS = (
    Target(
        "price_book",
        ("proto/gpucost/price_book.py", "proto/gpucost/units.py", "proto/gpucost/window.py"),
        st.one_of(books, changed([BOOK.encode()], YAML_TOKENS), amounts.map(bytes_of)),
        check_book,
    ),
    Target("yaml", (_YAML,), yaml_bytes, check_yaml),
    Target("settings", _SETTINGS, said.map(lambda value: bytes_of(json.dumps(value))), check_settings),
    Target("scenario", ("hack/simnode/document.py", "hack/simnode"), scenario_bytes, check_scenario),
)
