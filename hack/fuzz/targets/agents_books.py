"""What one agent leaves to the next in the spool, as far as it is text: cut off, changed, of another version."""

import json
import tracemalloc

from hypothesis import strategies as st

from fuzz.drawing import json_inputs
from fuzz.shapes import see_typed
from fuzz.target import Target, holds, text_of
from gpucost_agent.fleet_clock import Offsets
from gpucost_agent.ledger.checkpoint import Checkpoint

A = "GPU-0000000a-0000-0000-0000-00000000000a"
BASE_BYTES = 4 << 20
BYTES_OF_A_CHARACTER = 600

optional_numbers = st.none() | st.integers(0, 7)
devices = st.fixed_dictionaries(
    {
        "gpu_uuid": st.just(A),
        "gi": optional_numbers,
        "ci": optional_numbers,
        "profile": st.sampled_from(["", "1g.5gb"]),
        "placement": optional_numbers,
    }
)
holders = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["container", "host", "unobserved"]),
        "namespace": st.sampled_from(["", "chat"]),
        "pod": st.sampled_from(["", "llama-0"]),
        "pod_uid": st.sampled_from(["", "u1"]),
        "container": st.just("server"),
        "reason": st.just(""),
    }
)
shares = st.sampled_from(["1", "0", "1/3", "7/8", "1e9999999", "9/0", "-1", "0.5", "1/1e5", "nan"])
partitions = st.fixed_dictionaries(
    {
        "mig": st.booleans(),
        "instances": st.lists(
            st.fixed_dictionaries(
                {
                    "gi": st.integers(0, 7),
                    "profile": st.just("1g.5gb"),
                    "placement": st.integers(0, 7),
                    "compute_slices": st.integers(1, 7),
                    "memory_slices": st.integers(1, 8),
                    "parts": st.just([{"ci": 0, "uuid": "MIG-x", "compute_slices": 1}]),
                }
            ),
            max_size=2,
        ),
        "compute_total": st.just(7),
        "memory_total": st.just(8),
    }
)
checkpoints = st.fixed_dictionaries(
    {
        "boot_id": st.just("boot"),
        "closed_through_ns": st.integers(0, 2**62),
        "lives": st.dictionaries(st.just(A), st.integers(0, 2**62), max_size=1),
        "held": st.lists(
            st.tuples(devices, st.lists(st.tuples(holders, st.integers(0, 9)).map(list), max_size=2)).map(
                list
            ),
            max_size=2,
        ),
        "replicas": st.lists(st.tuples(devices, st.integers(1, 9)).map(list), max_size=2),
    },
    optional={
        "monotonic_ns": st.none() | st.integers(0, 2**62),
        "models": st.dictionaries(st.just(A), st.just("NVIDIA L4"), max_size=1),
        "partitions": st.dictionaries(st.just(A), partitions, max_size=1),
        "shares": st.lists(
            st.tuples(devices, st.lists(st.tuples(holders, shares).map(list), max_size=2)).map(list),
            max_size=2,
        ),
    },
)


def check_checkpoint(data: bytes) -> bool:
    """A checkpoint is read or raises ValueError; written again and read it is the same, and no text makes it huge."""
    text = text_of(data)
    tracemalloc.start()
    try:
        found = Checkpoint.from_json(text)
    except ValueError:
        return False
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        most = BASE_BYTES + BYTES_OF_A_CHARACTER * len(text)
        holds(peak <= most, f"{len(text)} characters took {peak} bytes; {most} is the most")
    see_typed(found)
    written = found.to_json()
    holds(Checkpoint.from_json(written) == found, "written and read again it is another")
    holds(Checkpoint.from_json(written).to_json() == written, "the same books are not the same text")
    said = json.loads(text)
    holds(
        found.closed_through_ns == said["closed_through_ns"] >= 0, "books are closed through another instant"
    )
    holds(len(found.lives) == len(said["lives"]) and dict(found.lives) == said["lives"], "lives")
    holds(found.monotonic_ns == said.get("monotonic_ns"), "the monotonic clock")
    return True


offsets = st.tuples(
    st.just("boot"), st.integers(-(2**62), 2**62), st.none() | st.integers(-(2**62), 2**62)
).map(list)


def check_offsets(data: bytes) -> bool:
    """Offsets of clocks are read or raise ValueError, and come back as they were."""
    try:
        found = Offsets.from_json(text_of(data))
    except ValueError:
        return False
    see_typed(found)
    holds(Offsets.from_json(found.to_json()) == found, "written and read again they are others")
    return True


TARGETS = (
    Target(
        "agent_checkpoint",
        ("agent/gpucost_agent/ledger/checkpoint.py",),
        json_inputs(checkpoints),
        check_checkpoint,
    ),
    Target("clock_offsets", ("agent/gpucost_agent/fleet_clock.py",), json_inputs(offsets), check_offsets),
)
