"""What dcgm-exporter, or whoever answers in its place, says on its port."""

import math
import tracemalloc

from hypothesis import strategies as st

from fuzz.drawing import changed, odd_texts
from fuzz.target import Target, bytes_of, holds, text_of
from gpucost_agent.readings import PPM
from gpucost_agent.sources.dcgm_text import COLUMNS, HIGHEST_RATIO, parse_scrape

A = "GPU-0000000a-0000-0000-0000-00000000000a"
SCRAPE = f"""# HELP DCGM_FI_PROF_GR_ENGINE_ACTIVE Ratio of time the graphics engine is active.
# TYPE DCGM_FI_PROF_GR_ENGINE_ACTIVE gauge
DCGM_FI_PROF_GR_ENGINE_ACTIVE{{gpu="0",UUID="{A}",device="nvidia0",modelName="NVIDIA L4",pod=""}} 0.250000
DCGM_FI_PROF_SM_ACTIVE{{gpu="0",UUID="{A}",GPU_I_PROFILE="1g.5gb",GPU_I_ID="7"}} 0.125
DCGM_FI_DEV_GPU_TEMP{{gpu="0",UUID="{A}"}} 41
""".encode()
BYTES_OF_A_CHARACTER = 400
BASE_BYTES = 1 << 20

label_texts = (
    st.text(max_size=10) | odd_texts | st.sampled_from(['UUID="', "UUID=", f'",UUID="{A}', "}", '"} 1'])
)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """One row whose labels before and after the UUID are anybody's, written as the format wants it."""
    share = draw(
        st.sampled_from(
            ["0", "1", "0.5", "1.005", "2", "-1", "NaN", "+Inf", "1e400", "1_0", "140737488355329"]
        )
    )
    before, after = draw(label_texts), draw(label_texts)
    return bytes_of(
        f'DCGM_FI_PROF_SM_ACTIVE{{pod="{_quoted(before)}",UUID="{A}",namespace="{_quoted(after)}"}} {share}\n'
    )


def check_scrape(data: bytes) -> bool:
    """Any text is a scrape; what it says of a GPU is what stands under the GPU's own label, as a share of time."""
    text = text_of(data)
    tracemalloc.start()
    try:
        scrape = parse_scrape(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    most = BASE_BYTES + BYTES_OF_A_CHARACTER * len(text)
    holds(peak <= most, f"{len(text)} characters took {peak} bytes; {most} is the most")
    holds(parse_scrape(text) == scrape, "read twice, a scrape says two things")
    for (uuid, instance), shares in scrape.shares.items():
        holds(uuid.startswith("GPU-") and uuid in text, f"{uuid} is not in the text")
        holds(instance is None or instance >= 0, f"instance {instance}")
        for column, share in shares.items():
            holds(column in COLUMNS and 0 <= share <= PPM, f"{column} is {share}")
    own, found = _one_line(text), scrape.shares.get((A, None), {})
    if own is not None:
        holds(set(scrape.shares) <= {(A, None)}, f"a label of a pod names GPUs: {set(scrape.shares)}")
        right = 0 <= own <= HIGHEST_RATIO
        expected = {"sm": min(round(own * PPM), PPM)} if right else {}
        holds(found == expected, f"{own} was read as {found}")
    return bool(scrape.shares)


def _one_line(text: str) -> float | None:
    """The value of the one row that lines() draws; None of any other text."""
    head = 'DCGM_FI_PROF_SM_ACTIVE{pod="'
    if not text.startswith(head) or text.count("\n") != 1 or not text.endswith("\n"):
        return None
    rest = _after_label(text[len(head) :])
    middle = f',UUID="{A}",namespace="'
    if rest is None or not rest.startswith(middle):
        return None
    end = _after_label(rest[len(middle) :])
    if end is None or not end.startswith("} "):
        return None
    try:
        value = float(end[2:-1])
    except ValueError:
        return None
    return value if math.isfinite(value) and end[2:-1].strip() == end[2:-1] and "_" not in end else None


def _after_label(text: str) -> str | None:
    """What follows the quote that ends a label's value."""
    at = 0
    while at < len(text):
        if text[at] == '"':
            return text[at + 1 :]
        at += 2 if text[at] == "\\" else 1
    return None


_TOKENS = (
    b'"',
    b"{",
    b"}",
    b",",
    b"\\",
    b"\n",
    b'UUID="',
    b'GPU_I_ID="',
    b" 1.0",
    b"NaN",
    b"1e9",
    b"DCGM_FI_PROF_DRAM_ACTIVE",
)
TARGETS = (
    Target(
        "dcgm_text",
        ("agent/gpucost_agent/sources/dcgm_text.py",),
        st.one_of(lines(), changed([SCRAPE], _TOKENS), st.lists(lines(), max_size=4).map(b"".join)),
        check_scrape,
    ),
)
