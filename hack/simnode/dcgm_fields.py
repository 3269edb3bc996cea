"""The fields that the simulated dcgm-exporter shows, as the real one's default list and text have them."""

from __future__ import annotations

from dataclasses import dataclass

INT_NOT_SUPPORTED = "9223372036854775794"
FLOAT_BLANK = "140737488355328.000000"
"""What DCGM has where it has no value; old exporters print it."""

Value = int | float | None


@dataclass(frozen=True, slots=True)
class Field:
    """*old* and *new* are its names before and since DCGM 4.6."""

    old: str
    new: str
    kind: str
    meaning: str
    is_float: bool = False

    def name(self, names: str) -> str:
        return self.new if names == "new" else self.old

    def text(self, value: Value) -> str:
        if value is None:
            return FLOAT_BLANK if self.is_float else INT_NOT_SUPPORTED
        return f"{value:.6f}" if self.is_float else str(int(value))


def _same(name: str, kind: str, meaning: str) -> Field:
    return Field(name, name, kind, meaning)


GPU_UTIL = Field("DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_UTIL_RATIO", "gauge", "GPU utilization (in %).")
FB_USED = _same("DCGM_FI_DEV_FB_USED", "gauge", "Framebuffer memory used (in MiB).")
FB_FREE = _same("DCGM_FI_DEV_FB_FREE", "gauge", "Framebuffer memory free (in MiB).")
POWER = Field("DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_BOARD_POWER_WATTS", "gauge", "Power draw (in W).", True)
ENERGY = _same(
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "counter", "Total energy consumption since boot (in mJ)."
)
GRAPHICS = Field(
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
    "DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO",
    "gauge",
    "Ratio of time the graphics engine is active.",
    True,
)
SM = Field(
    "DCGM_FI_PROF_SM_ACTIVE",
    "DCGM_FI_PROF_SM_UTIL_RATIO",
    "gauge",
    "The ratio of cycles an SM has at least 1 warp assigned.",
    True,
)
TENSOR = Field(
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
    "DCGM_FI_PROF_TENSOR_UTIL_RATIO",
    "gauge",
    "Ratio of cycles the tensor (HMMA) pipe is active.",
    True,
)
DRAM = Field(
    "DCGM_FI_PROF_DRAM_ACTIVE",
    "DCGM_FI_PROF_DRAM_UTIL_RATIO",
    "gauge",
    "Ratio of cycles the device memory interface is active sending or receiving data.",
    True,
)

FIELDS = (POWER, ENERGY, GPU_UTIL, FB_FREE, FB_USED, GRAPHICS, SM, TENSOR, DRAM)
