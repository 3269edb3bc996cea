"""The journal that a killed agent left: cut off anywhere, or with frames that another one wrote."""

import struct
import tempfile
import zlib
from pathlib import Path

import msgspec
from gpucost.clock import Instant
from gpucost.identity import Device
from hypothesis import strategies as st

from fuzz.drawing import changed, junk
from fuzz.shapes import see_typed
from fuzz.target import Target, holds
from gpucost_agent.journal import Beginning, Journal, Story, read_story
from gpucost_agent.readings import Allocation, Boot, DeviceId, HoldingReading, PodNamed

_BLOCK, _ENTRY = struct.Struct("<II"), struct.Struct("<BI")
A = "GPU-0000000a-0000-0000-0000-00000000000a"


def _sample() -> bytes:
    """A journal as an agent writes it."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), Beginning(Boot("b", 1), 2, 3, None))
        holding = (Allocation("chat", "p", "main", (DeviceId("nvidia.com/gpu", A, Device(A)),), "u1"),)
        journal.note(HoldingReading(Instant(10, 5), holding, None))
        journal.note(HoldingReading(Instant(11, 6), holding, None))
        journal.note(PodNamed("chat", "p", "u1", 12))
        journal.note(Instant(12, 7))
        journal.flush()
        (file,) = Path(folder).iterdir()
        return file.read_bytes()


SAMPLE = _sample()


def _frames(data: bytes) -> list[tuple[int, bytes]]:
    """Kinds and contents of the entries in all blocks."""
    found, place = [], 0
    while place < len(data):
        length, _ = _BLOCK.unpack_from(data, place)
        place += _BLOCK.size
        block, at = zlib.decompress(data[place : place + length]), 0
        place += length
        while at < len(block):
            number, size = _ENTRY.unpack_from(block, at)
            at += _ENTRY.size
            found.append((number, block[at : at + size]))
            at += size
    return found


FRAMES = _frames(SAMPLE)


def _framed(frames: list[tuple[int, bytes]]) -> bytes:
    """One block of *frames*, as an agent writes it."""
    return _blocked(
        zlib.compress(b"".join(_ENTRY.pack(kind, len(content)) + content for kind, content in frames))
    )


def _blocked(packed: bytes) -> bytes:
    return _BLOCK.pack(len(packed), zlib.crc32(packed)) + packed


def _packed(value: object) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except (OverflowError, UnicodeEncodeError, TypeError):
        return b""


contents = st.one_of(
    st.sampled_from([content for _, content in FRAMES]),
    changed([content for _, content in FRAMES]),
    junk.filter(lambda value: not isinstance(value, int) or -(2**63) <= value < 2**64)
    .map(_packed)
    .filter(bool),
)


frames = st.lists(st.sampled_from(FRAMES) | st.tuples(st.integers(0, 12), contents), max_size=4)
journal_bytes = st.one_of(
    st.integers(0, len(SAMPLE)).map(lambda end: SAMPLE[:end]),
    frames.map(lambda drawn: _framed([FRAMES[0], *drawn])),
    changed([SAMPLE]),
    changed([SAMPLE[_BLOCK.size :]]).map(_blocked),
    st.binary(max_size=20).map(zlib.compress).map(_blocked),
)


def check_journal(data: bytes) -> bool:
    """A journal is none, or raises ValueError, or is a story of typed entries; what is cut off is a beginning of it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "journal-00000000").write_bytes(data)
        try:
            story = read_story(Path(folder))
        except ValueError as trouble:
            holds(not SAMPLE.startswith(data), f"a journal that is only cut off can not be read: {trouble}")
            return False
    if story is None:
        return False
    see_typed(story)
    if SAMPLE.startswith(data):
        whole = _story()
        holds(story.beginning == whole.beginning, "it begins otherwise")
        holds(whole.entries[: len(story.entries)] == story.entries, "what is cut off tells another story")
        holds(len(data) < len(SAMPLE) or len(story.entries) == 4, "entries were lost")
    return True


def _story() -> Story:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "journal-00000000").write_bytes(SAMPLE)
        story = read_story(Path(folder))
    holds(story is not None, "an agent's own journal is none")
    assert story is not None
    return story


TARGETS = (Target("journal", ("agent/gpucost_agent/journal.py",), journal_bytes, check_journal),)
