"""
dcgm-exporter's text, cut to what tells how busy GPUs and their instances are: pure.

The exporter repeats a GPU's value for each pod or replica that it thinks is on it, so values are taken once for each
GPU and instance, and never summed. Labels that name pods are not read.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from gpucost_agent.readings import PPM

# DCGM 4.6 renamed its fields; the exporter's files still have the names before it.
COLUMNS = {
    "busy": ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO"),
    "sm": ("DCGM_FI_PROF_SM_ACTIVE", "DCGM_FI_PROF_SM_UTIL_RATIO"),
    "tensor": (
        "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
        "DCGM_FI_PROF_TENSOR_UTIL_RATIO",
        "DCGM_FI_PROF_PIPE_TENSOR_UTIL_RATIO",
    ),
    "dram": ("DCGM_FI_PROF_DRAM_ACTIVE", "DCGM_FI_PROF_DRAM_UTIL_RATIO"),
}
"""Field names by what they tell; of a GPU that has several the first counts."""

HIGHEST_RATIO = 1.01
"""Counters that are read a moment apart may show a little more than all; more than this is a fault of the exporter."""

_BLANK = 140_737_488_355_328.0
"""From here on DCGM's numbers say why there is none."""

_FIELDS = {name: column for column, names in COLUMNS.items() for name in names}
# A value ends where its line goes on: a body that is cut off anywhere has no last digit missing. Repetitions never
# give back what they took (++), so that no text takes long.
_LINE = re.compile(
    rf"^(?P<name>{'|'.join(_FIELDS)})[ \t]*"
    r"\{(?P<labels>(?:[^\"}\n]++|\"(?:[^\"\\\n]++|\\.)*+\")*+)\}[ \t]+(?P<value>[^ \t\n]+)(?=[ \t\n])",
    re.MULTILINE,
)
# Every label is read, whatever it is called, so that none begins within the value of another.
_LABEL = re.compile(r'(?:^|,)[ \t]*(?P<name>[^\s,="]+)[ \t]*=[ \t]*"(?P<value>(?:[^"\\]|\\.)*)"')
_MOST_DIGITS = 9

Engine = tuple[str, int | None]
"""A GPU by its UUID, or an instance of it by its number."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """
    Shares of time in ppm, by engine and column; what is absent is not known. *missing* are columns that no GPU has.

    *troubles* name why values were left out, each once: nonsense, above_one, contradicting.
    """

    shares: Mapping[Engine, Mapping[str, int]]
    missing: tuple[str, ...]
    troubles: tuple[str, ...]


def parse_scrape(text: str) -> Scrape:
    """What the exporter says; text of anything else says nothing. Raises nothing."""
    values: dict[tuple[Engine, str], set[float]] = {}
    troubles: set[str] = set()
    for line in _LINE.finditer(text):
        engine, value = _engine(line["labels"]), _number(line["value"])
        if engine is None or value is None:
            troubles.add("nonsense")
        elif math.isfinite(value) and value < _BLANK:
            values.setdefault((engine, line["name"]), set()).add(value)
    shares: dict[Engine, dict[str, int]] = {}
    told = set()
    for (engine, name), found in sorted(values.items(), key=lambda item: list(_FIELDS).index(item[0][1])):
        column = _FIELDS[name]
        told.add(column)
        share, trouble = _share(found)
        if share is None:
            troubles.add(trouble)
        else:
            shares.setdefault(engine, {}).setdefault(column, share)
    missing = tuple(column for column in COLUMNS if column not in told)
    return Scrape(shares, missing, tuple(sorted(troubles)))


def _share(values: set[float]) -> tuple[int | None, str]:
    if len(values) > 1:
        return None, "contradicting"
    (value,) = values
    if value > HIGHEST_RATIO:
        return None, "above_one"
    if value < 0:
        return None, "nonsense"
    return min(round(value * PPM), PPM), ""


def _engine(labels: str) -> Engine | None:
    found = {label["name"]: label["value"] for label in _LABEL.finditer(labels)}
    uuid, instance = found.get("UUID") or found.get("uuid") or "", found.get("GPU_I_ID") or ""
    if not uuid.startswith("GPU-") or not _is_instance(instance):
        return None
    return uuid, int(instance) if instance else None


def _is_instance(text: str) -> bool:
    return not text or (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
