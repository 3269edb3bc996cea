"""Values of the two files of access: texts and lists of texts under the keys of a block."""

from collections.abc import Iterator

from gpucost.yaml_marks import Block, as_block, as_listing, as_text


def text_at(block: Block, key: str) -> str:
    """The text at *key*; empty where it is not there. Raises Reject where it is no text."""
    node = block.get(key)
    return as_text(node, key) if node is not None else ""


def needed_at(block: Block, key: str, why: str) -> str:
    """The text at *key*. Raises Reject where there is none; *why* says what it is for."""
    text = text_at(block, key)
    if not text:
        raise block.mark.reject(f"`{key}` is missing: {why}")
    return text


def texts_at(block: Block, key: str) -> tuple[str, ...]:
    """The texts of the list at *key*; none where it is not there. Raises Reject where it is something else."""
    node = block.get(key)
    if node is None:
        return ()
    found = tuple(as_text(item, f"an item of {key}") for item in as_listing(node, key).items)
    if not found:
        # An empty list that meant "all" would open what somebody wanted to shut.
        raise node.mark.reject(f"{key} is an empty list: name some, or leave the key out")
    return found


def blocks_at(block: Block, key: str) -> Iterator[Block]:
    """The blocks of the list at *key*. Raises Reject where it is something else."""
    node = block.get(key)
    if node is None:
        return
    for item in as_listing(node, key).items:
        yield as_block(item, f"an item of {key}")
