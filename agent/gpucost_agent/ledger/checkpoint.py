"""What an agent has to remember so that the next one can close the gap between them."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

from gpucost.identity import Device, Holder, HolderKind

from gpucost_agent.readings import ComputeInstance, GpuInstance, Partition

_SHARE = re.compile(r"[0-9]{1,100}(/[0-9]{1,100})?")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """
    The books at the end of a closed window.

    *lives* is when each GPU's life on this node began (wall nanoseconds).
    *models* are the GPUs' models by UUID, for the price of one that is gone when the next agent begins.
    *held* and *replicas* are the last that was known, as in ``Held`` but with holders; *shares* are what schedulers
    of fractions gave them.
    *partitions* are how the GPUs in MIG mode were cut, by UUID.
    *monotonic_ns* is what the monotonic clock showed at the window's end; None where nobody told.
    """

    boot_id: str
    closed_through_ns: int
    lives: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[Device, Mapping[Holder, int]] = field(default_factory=dict)
    replicas: Mapping[Device, int] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    partitions: Mapping[str, Partition] = field(default_factory=dict)
    shares: Mapping[Device, Mapping[Holder, Fraction]] = field(default_factory=dict)
    monotonic_ns: int | None = None

    def to_json(self) -> str:
        """As text for the spool."""
        return json.dumps(
            {
                "boot_id": self.boot_id,
                "closed_through_ns": self.closed_through_ns,
                "monotonic_ns": self.monotonic_ns,
                "lives": dict(self.lives),
                "models": dict(self.models),
                "held": [
                    [asdict(device), [[asdict(holder), count] for holder, count in holders.items()]]
                    for device, holders in self.held.items()
                ],
                "replicas": [[asdict(device), count] for device, count in self.replicas.items()],
                "partitions": {uuid: asdict(partition) for uuid, partition in self.partitions.items()},
                "shares": [
                    [asdict(device), [[asdict(holder), str(share)] for holder, share in holders.items()]]
                    for device, holders in self.shares.items()
                ],
            },
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, text: str) -> "Checkpoint":
        """
        The checkpoint in *text*.

        Raises:
            ValueError: It is none.
        """
        try:
            fields = json.loads(text)
            return cls(
                _text(fields["boot_id"]),
                _count(fields["closed_through_ns"]),
                {_text(uuid): _count(began_ns) for uuid, began_ns in fields["lives"].items()},
                {
                    _device(device): {_holder(holder): _count(count) for holder, count in holders}
                    for device, holders in fields["held"]
                },
                {_device(device): _count(count, 1) for device, count in fields["replicas"]},
                {_text(uuid): _text(model) for uuid, model in fields.get("models", {}).items()},
                {_text(uuid): _partition(cut) for uuid, cut in fields.get("partitions", {}).items()},
                {
                    _device(device): {_holder(holder): _share(share) for holder, share in holders}
                    for device, holders in fields.get("shares", [])
                },
                _maybe_count(fields.get("monotonic_ns")),
            )
        except KeyError as error:
            raise ValueError(f"no checkpoint of the books: it lacks {error}") from error
        except (TypeError, AttributeError, ValueError, ZeroDivisionError, RecursionError) as error:
            raise ValueError(f"no checkpoint of the books: {error}") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    value.encode()  # JSON can spell half a character, which no message takes: ValueError.
    return value


def _count(value: object, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise TypeError(f"{value!r} is no whole number of {least} or more")
    return value


def _maybe_count(value: object) -> int | None:
    return None if value is None else _count(value)


def _share(value: object) -> Fraction:
    # Fraction() also reads exponents, and 1e9999999 would fill the memory.
    if not _SHARE.fullmatch(_text(value)):
        raise ValueError(f"{value!r:.80} is no share")
    return Fraction(_text(value))


def _device(fields: dict[str, Any]) -> Device:
    device = Device(**fields)
    for text in (device.gpu_uuid, device.profile):
        _text(text)
    for number in (device.gi, device.ci, device.placement):
        _maybe_count(number)
    return device


def _holder(fields: dict[str, Any]) -> Holder:
    texts: dict[str, Any] = {name: _text(text) for name, text in fields.items()}
    return Holder(**{**texts, "kind": HolderKind(fields["kind"])})


def _partition(fields: dict[str, Any]) -> Partition:
    instances = tuple(
        GpuInstance(**{**each, "parts": tuple(ComputeInstance(**part) for part in each["parts"])})
        for each in fields["instances"]
    )
    cut = Partition(**{**fields, "instances": instances})
    if not isinstance(cut.mig, bool):
        raise TypeError(f"{cut.mig!r} is neither true nor false")
    numbers = [cut.compute_total, cut.memory_total]
    for each in instances:
        _text(each.profile)
        numbers += [each.gi, each.placement, each.compute_slices, each.memory_slices]
        for part in each.parts:
            _text(part.uuid)
            numbers += [part.ci, part.compute_slices]
    for number in numbers:
        _count(number)
    return cut
