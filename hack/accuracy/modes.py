"""The ways to share a GPU, each with what may be said of it: by a GPU's own keys in the scenario, and who was there."""

from __future__ import annotations

from dataclasses import dataclass

from accuracy.plan import HOPPER, GpuPlan, Instance
from accuracy.truth import HOST, NS, Device, DeviceTruth

EXACT, SAMPLED, NONE = "exact", "sampled", "none"
GUESSED = ("memory", "equal")
"""What may be named where nobody tells use by process; both are without samples."""

SHORT_NS = 10 * NS


@dataclass(frozen=True, slots=True)
class Mode:
    """
    *source* is whether use is counted, sampled, or not told; *methods* may be named where there is use.

    One without a bar is shown only, and *why* says why.
    """

    name: str
    source: str
    methods: tuple[str, ...]
    why: str = ""


_RING_PROCESS = ("ring_process",)


def mode_of(key: Device, device: DeviceTruth, plan: GpuPlan) -> Mode:
    """The mode of a device."""
    if plan.driver.owner != "proportional":
        return Mode(
            f"owner_{plan.driver.owner}",
            SAMPLED,
            ("ring", *_RING_PROCESS),
            "a driver that does not draw a sample's owner in proportion to time has a bias that nobody can see",
        )
    if key.gi is not None:
        return _partitioned(key, plan)
    if plan.sharing == "mps":
        if device.overlap_ns > 0:
            return Mode(
                "mps_overlapping", SAMPLED, _RING_PROCESS, "one owner a sample hides who ran beside it"
            )
        return Mode("mps_turns", SAMPLED, _RING_PROCESS)
    shared = _shared(device, plan)
    if shared and not plan.tells_processes:
        return Mode("no_process_source", NONE, GUESSED)
    if shared:
        return Mode(shared, SAMPLED, ("accounting",) if plan.has_accounting else _RING_PROCESS)
    return _exclusive(device, plan)


def _partitioned(key: Device, plan: GpuPlan) -> Mode:
    instance = _instance(key, plan)
    _, replicas = instance.parts[key.ci or 0]
    if replicas > 1:
        return Mode("mig_shared_device", NONE, GUESSED)
    if len(instance.parts) > 1:
        return Mode("mig_several_in_one", NONE, GUESSED)
    if plan.architecture == HOPPER:
        return Mode("mig_gpm_changing" if len(plan.layouts) > 2 else "mig_gpm", EXACT, ("gpm",))
    if plan.dcgm_interval_ns is not None:
        return Mode("mig_ampere_dcgm", SAMPLED, ("dcgm",))
    return Mode("mig_ampere_alone", NONE, ())


def _instance(key: Device, plan: GpuPlan) -> Instance:
    return next(
        each
        for layout in plan.layouts
        for each in layout.instances or ()
        if (each.gi, each.profile) == (key.gi, key.profile) and key.ci in each.parts
    )


def _shared(device: DeviceTruth, plan: GpuPlan) -> str:
    """How a whole GPU is shared; empty if it is not."""
    if plan.is_hami:
        return "hami_fractions"
    if plan.is_kai:
        return "kai_group"
    claims = {hold.claim for hold in device.holds if hold.claim}
    if claims and len({hold.who for hold in device.holds}) > len(claims):
        return "claim_shared"
    holders = {hold.who for hold in device.holds}
    strangers = set(device.busy) - holders
    if not strangers and all(hold.of == 1 and hold.share == 1 for hold in device.holds):
        return ""
    if strangers:
        return "time_slicing_shadow_host" if strangers != {HOST} else "time_slicing_host"
    if plan.has_accounting:
        return "time_slicing_accounting"
    return "short_lives_shared" if _are_short(device) else "time_slicing"


def _exclusive(device: DeviceTruth, plan: GpuPlan) -> Mode:
    source, methods = (EXACT, ("gpm",)) if plan.architecture == HOPPER else (SAMPLED, ("ring",))
    if plan.dcgm_interval_ns is not None and plan.architecture != HOPPER:
        source, methods = SAMPLED, ("dcgm",)
    name = "exclusive"
    names = [hold.who[1:3] for hold in device.holds]
    if any(hold.claim for hold in device.holds):
        name = "claim"
    elif plan.has_init:
        name = "init_container"
    elif _are_short(device):
        name = "short_lives"
    elif len({hold.who for hold in device.holds}) > len(set(names)):
        name = "same_name"
    return Mode(f"{name}_{methods[0]}" if name == "exclusive" else name, source, methods)


def _are_short(device: DeviceTruth) -> bool:
    """Whether most holders live for seconds."""
    short = sum(1 for hold in device.holds if hold.until_ns - hold.since_ns < SHORT_NS)
    return 2 * short > len(device.holds)
