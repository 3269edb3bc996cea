import subprocess
import sys

import pytest
from gpucost.trouble import Reject
from gpucost.yaml_marks import Block, Listing, Node, Scalar, as_block, as_listing, as_text, parse_yaml
from hypothesis import given
from hypothesis import strategies as st


def plain(node: Node) -> object:
    if isinstance(node, Block):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, Listing):
        return [plain(item) for item in node.items]
    return None if node.is_null else node.text


def test_values_stay_the_text_that_somebody_wrote() -> None:
    block = parse_yaml("a: 4.20\nb: no\nc: 2026-10-01\nd: ~\ne: ''\nf: [1, {g: 0x10}]\n", "f.yaml")
    assert plain(block) == {
        "a": "4.20",
        "b": "no",
        "c": "2026-10-01",
        "d": None,
        "e": "",
        "f": ["1", {"g": "0x10"}],
    }


def test_keys_and_values_know_their_place() -> None:
    block = parse_yaml("a: 1\nb:\n  - x: y\n", "f.yaml")
    assert str(block.entries["a"].value.mark) == "f.yaml:1:4"
    assert str(block.entries["b"].key_mark) == "f.yaml:2:1"
    item = as_block(as_listing(block.entries["b"].value, "b").items[0], "an item")
    assert str(item.entries["x"].value.mark) == "f.yaml:3:8"


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~", "---\n...\n"])
def test_an_empty_file_has_no_keys(text: str) -> None:
    assert parse_yaml(text, "f.yaml").entries == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "f.yaml:2:1: the key 'a' is there already, in line 1: keep one"),
        ("a: &x 1\nb: *x\n", "f.yaml:2:4: aliases are not supported: write the value out"),
        (
            "a: !!python/name:os.system x\n",
            "f.yaml:1:4: tags are not supported: write the value without its `!`",
        ),
        ("- a\n", "f.yaml:1:1: the file is a list: write a block of `key: value`"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document begins here: keep one per file"),
        ("? [a]\n: 1\n", "f.yaml:1:3: a key has to be one word"),
        ("a: " + "[" * 50, "f.yaml:1:24: nested deeper than 20 levels"),
        ("a: \x01", "f.yaml:1:4: this is not YAML: a character that no text has"),
        ("a: b: c\n", "f.yaml:1:5: this is not YAML: mapping values are not allowed here"),
        ("x" * (1 << 20) + "y", "f.yaml:1:1: 1048577 characters are too many: at most 1048576"),
    ],
)
def test_what_is_refused_and_how(text: str, message: str) -> None:
    with pytest.raises(Reject) as refused:
        parse_yaml(text, "f.yaml")
    assert str(refused.value) == message


def test_an_unknown_key_is_named_with_the_one_that_was_meant() -> None:
    block = parse_yaml("clutser: a\n", "f.yaml")
    with pytest.raises(Reject, match=r"f\.yaml:1:1: unknown key 'clutser' in match; did you mean cluster\?"):
        block.refuse_unknown(["cluster", "region"], "match")


def test_a_shape_that_does_not_fit_is_named() -> None:
    block = parse_yaml("a: [1]\nb: {c: d}\ne:\nf: g\n", "f.yaml")
    values = {key: entry.value for key, entry in block.entries.items()}
    for read, key, kind in (
        (as_text, "a", "a list"),
        (as_text, "b", "a block of keys"),
        (as_text, "e", "empty"),
        (as_block, "e", "empty"),
        (as_listing, "f", "one value"),
    ):
        with pytest.raises(Reject, match=kind):
            read(values[key], key)
    assert block.get("e") is None
    assert block.get("absent") is None


def test_nobody_without_a_file_pays_for_yaml() -> None:
    code = "import sys, gpucost.settings_source, gpucost.prices; sys.exit('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(st.text(alphabet=" \n\t:-[]{}'\"&*!|>#?,~ab1.é\0", max_size=60))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        block = parse_yaml(text, "f.yaml")
    except Reject as refused:
        assert str(refused).startswith("f.yaml:")  # noqa: PT017 (either is right)
    else:
        assert all(isinstance(entry.value, Scalar | Listing | Block) for entry in block.entries.values())
