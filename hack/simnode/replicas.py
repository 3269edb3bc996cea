"""Which replicas of a device a container holds: drawn among the free ones when its pod starts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction

from simnode import draws
from simnode.holdings import Device, Draft, Request
from simnode.world import Claim, Hold, Pod


@dataclass(slots=True)
class _Taken:
    numbers: tuple[int, ...]
    end_ns: int | None
    claim: Claim | None


@dataclass(slots=True)
class _Books:
    """One device while its replicas are given out."""

    seed: int
    device: Device
    taken: list[_Taken] = field(default_factory=list)
    left_by_init: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def blocked(self, request: Request) -> set[int]:
        return {
            number
            for other in self.taken
            if (other.end_ns is None or request.start_ns < other.end_ns) and not _shared(other.claim, request)
            for number in other.numbers
        }

    def give(self, request: Request) -> tuple[int, ...]:
        """What an init container of the same pod held is given first, as the kubelet does."""
        blocked = self.blocked(request)
        reused = self.left_by_init[request.pod]
        pool, free = sorted(reused), [n for n in range(self.device.replicas) if n not in blocked]
        if len(free) + len(pool) < request.count:
            raise_oversubscribed(request, self.device.replicas, len(blocked))
        numbers = []
        for turn in range(request.count):
            source = pool or free
            what = f"replica of {_name(self.device)}, {turn}"
            numbers.append(source.pop(draws.integer(self.seed, request.container, what, len(source))))
        given = tuple(sorted(numbers))
        if request.kind == "init":
            reused |= set(given)
        else:
            reused -= set(given)
        self.taken.append(_Taken(given, request.end_ns, request.claim))
        return given


def _shared(claim: Claim | None, request: Request) -> bool:
    """Holders of one claim share it; claims with share ids share their devices."""
    if not claim or not request.claim:
        return False
    return claim == request.claim or bool(claim.share_id and request.claim.share_id)


def _name(device: Device) -> str:
    """What draws are called by; a GPU without MIG is as it was before there was MIG."""
    gpu = f"gpu {device.gpu}"
    return gpu if device.gi is None else f"{gpu} instance {device.gi}/{device.ci} {device.mig_uuid}"


def assign_replicas(draft: Draft, pods: list[Pod]) -> list[Pod]:
    """The pods with what they hold."""
    held: dict[str, list[Hold]] = defaultdict(list)
    for device, requests in _by_device(draft.requests):
        books = _Books(draft.seed, device)
        fractions = device.replicas == 1 and any(request.share < 1 for request in requests)
        for request in sorted(requests, key=lambda r: r.start_ns):
            numbers = (0,) if fractions else books.give(request)
            held[request.container].append(_hold(request, numbers))
        if fractions:
            _check_shares(requests)
    return [
        replace(pod, containers=tuple(replace(c, holds=tuple(held[c.path])) for c in pod.containers))
        for pod in pods
    ]


def _by_device(requests: list[Request]) -> Iterable[tuple[Device, list[Request]]]:
    """A GPU that is whole before and after it was partitioned is one device."""
    found: dict[tuple[int, int], list[Request]] = defaultdict(list)
    for request in requests:
        found[request.device.gpu, request.device.number].append(request)
    return [(found[key][0].device, found[key]) for key in sorted(found)]


def _hold(request: Request, numbers: tuple[int, ...]) -> Hold:
    device = request.device
    return Hold(
        gpu=device.gpu,
        replicas=numbers,
        gi=device.gi,
        ci=device.ci,
        mig_uuid=device.mig_uuid,
        share=float(request.share),
        hidden=request.hidden,
        ids=request.ids,
        resource=request.resource,
        claim=request.claim.name if request.claim else None,
    )


def _check_shares(requests: list[Request]) -> None:
    """The shares of an unreplicated device never sum up to more than 1; init containers hand theirs on."""
    for request in requests:
        at = request.start_ns
        pods: dict[str, dict[bool, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
        for other in requests:
            if other.start_ns <= at and (other.end_ns is None or at < other.end_ns):
                parts, init = pods[other.pod], other.kind == "init"
                parts[init] = max(parts[init], other.share) if init else parts[init] + other.share
        total = sum((max(parts[True], parts[False]) for parts in pods.values()), Fraction(0))
        if total > 1:
            request.place.fail(
                f"the shares of GPU {request.device.gpu} sum up to {float(total):g} then; "
                "lower a `share` or end another pod before"
            )


def raise_oversubscribed(request: Request, replicas: int, blocked: int) -> None:
    has = "one replica" if replicas == 1 else f"{replicas} replicas"
    device = request.device
    what = f"GPU {device.gpu}"
    if device.gi is not None:
        what = f"instance {device.gi}/{device.ci} of GPU {device.gpu}"
    request.place.fail(
        f"{what} has {has}, {blocked} held at that time, and {request.count} more asked for; "
        "raise its `replicas` or end another pod before"
    )
