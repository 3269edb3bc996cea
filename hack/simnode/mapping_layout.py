"""The shared mapping's layout: names and struct codes, in the order of hack/nvml/mapping.h, which a test compares."""

from __future__ import annotations

import struct

from simnode.engines import MOST_INSTANCES

MAGIC = int.from_bytes(b"NVMLSIM1", "little")
LAYOUT = 2
MOST_PROFILES = 8
NONE = 0xFFFF_FFFF
"""No GPU, no instance."""

Fields = tuple[tuple[str, str], ...]


def packer(fields: Fields) -> struct.Struct:
    return struct.Struct("<" + "".join(code for _, code in fields))


def offset(fields: Fields, name: str) -> int:
    before = [code for _, code in fields[: [field for field, _ in fields].index(name)]]
    return struct.calcsize("<" + "".join(before))


def section(fields: Fields, first: str, last: str) -> struct.Struct:
    """From one field to another, both included."""
    names = [name for name, _ in fields]
    return packer(fields[names.index(first) : names.index(last) + 1])


def padded(parts: list[bytes], size: int, most: int) -> bytes:
    """An array of fixed length whose rest is empty."""
    return b"".join(parts).ljust(size * most, b"\0")


HEADER: Fields = (
    ("magic", "Q"),
    ("layout", "I"),
    ("header_size", "I"),
    ("gpu_size", "I"),
    ("gpu_stride", "I"),
    ("gpu_count", "I"),
    ("ring_depth", "I"),
    ("process_capacity", "I"),
    ("rounding", "I"),
    ("sample_period_us", "Q"),
    ("cuda_version", "I"),
    ("failure_count", "I"),
    ("driver_version", "32s"),
    ("now_ns", "q"),
    ("account_capacity", "I"),
    ("reserved", "4x"),
    ("spare", "152x"),
)
FAILURE: Fields = (
    ("at_ns", "q"),
    ("until_ns", "q"),
    ("kind", "I"),
    ("gpu", "I"),
    ("code", "I"),
    ("reserved", "4x"),
    ("call", "64s"),
)
COUNTERS: Fields = (("graphics_ns", "Q"), ("sm_ns", "Q"), ("tensor_ns", "Q"), ("dram_ns", "Q"))
PROFILE: Fields = (
    ("name", "24s"),
    ("number", "I"),
    ("id", "I"),
    ("slices", "I"),
    ("size", "I"),
    ("multiprocessors", "I"),
    ("most", "I"),
    ("copy_engines", "I"),
    ("decoders", "I"),
    ("jpegs", "I"),
    ("ofas", "I"),
    ("starts", "I"),
    ("reserved", "4x"),
    ("memory", "Q"),
)
GPU_INSTANCE: Fields = (
    ("number", "I"),
    ("gi", "I"),
    ("profile_id", "I"),
    ("slices", "I"),
    ("start", "I"),
    ("size", "I"),
    ("memory_total", "Q"),
    ("memory_used", "Q"),
    ("counters", f"{packer(COUNTERS).size}s"),
)
COMPUTE_INSTANCE: Fields = (
    ("number", "I"),
    ("gi", "I"),
    ("ci", "I"),
    ("slices", "I"),
    ("start", "I"),
    ("multiprocessors", "I"),
    ("uuid", "48s"),
    ("name", "32s"),
    ("counters", f"{packer(COUNTERS).size}s"),
)
GPU: Fields = (
    ("uuid", "48s"),
    ("name", "96s"),
    ("minor", "I"),
    ("architecture", "I"),
    ("capability_major", "I"),
    ("capability_minor", "I"),
    ("pci_bus", "I"),
    ("pci_device_id", "I"),
    ("mig_capable", "I"),
    ("power_limit_mw", "I"),
    ("memory_total", "Q"),
    ("slices", "I"),
    ("memory_slices", "I"),
    ("most_mig_devices", "I"),
    ("profile_count", "I"),
    ("gpm", "I"),
    ("mps", "I"),
    ("accounting", "I"),
    ("fixed_reserved", "4x"),
    ("profiles", f"{MOST_PROFILES * packer(PROFILE).size}s"),
    ("sequence", "Q"),
    ("samples_taken", "Q"),
    ("energy_mj", "Q"),
    ("memory_used", "Q"),
    ("power_mw", "I"),
    ("process_count", "I"),
    ("mig", "I"),
    ("layouts", "I"),
    ("account_count", "I"),
    ("reserved", "4x"),
    ("counted_ns", "q"),
    ("counters", f"{packer(COUNTERS).size}s"),
    ("gpu_instances", f"{MOST_INSTANCES * packer(GPU_INSTANCE).size}s"),
    ("compute_instances", f"{MOST_INSTANCES * packer(COMPUTE_INSTANCE).size}s"),
)
SAMPLE: Fields = (("stamp_us", "Q"), ("util_centi", "I"), ("pid", "I"), ("power_mw", "I"), ("mig", "I"))
PROCESS: Fields = (("pid", "I"), ("reserved", "4x"), ("memory_used", "Q"), ("gi", "I"), ("ci", "I"))
ACCOUNT: Fields = (
    ("pid", "I"),
    ("running", "I"),
    ("samples", "I"),
    ("reserved", "4x"),
    ("sum_centi", "Q"),
    ("memory", "Q"),
    ("start_us", "Q"),
    ("time_ms", "Q"),
)
