"""The mapping's entries as bytes: what never changes of a node's driver and its GPUs, and the rows that do."""

from __future__ import annotations

from simnode.accounting import Account
from simnode.boards import HOPPER, board
from simnode.counters import Counters
from simnode.engines import MOST_INSTANCES, timeline
from simnode.lives import Process
from simnode.mapping_layout import (
    ACCOUNT,
    COMPUTE_INSTANCE,
    COUNTERS,
    FAILURE,
    GPU,
    GPU_INSTANCE,
    MOST_PROFILES,
    NONE,
    PROCESS,
    PROFILE,
    SAMPLE,
    packer,
    padded,
    section,
)
from simnode.mig_profiles import partitioning
from simnode.sampling import Sample, SampledGpu, keeps_accounts
from simnode.surroundings import FAILURES
from simnode.wants import ENDLESS
from simnode.world import Failure, Gpu, Node

_ACCOUNT, _COUNTERS, _PROCESS, _SAMPLE = packer(ACCOUNT), packer(COUNTERS), packer(PROCESS), packer(SAMPLE)
_FAILURE, _PROFILE = packer(FAILURE), packer(PROFILE)
_GPU_INSTANCE, _COMPUTE_INSTANCE = packer(GPU_INSTANCE), packer(COMPUTE_INSTANCE)
_FIXED = section(GPU, "uuid", "profiles")
_UNSUPPORTED = 3
"""NVML_ERROR_NOT_SUPPORTED."""

_CUDA = ((590, 13010), (580, 13000), (570, 12080), (565, 12070), (560, 12060), (555, 12050), (550, 12040))


def cuda_version(driver: str) -> int:
    """The CUDA version that a driver branch brought."""
    branch = int(driver.partition(".")[0])
    return next((cuda for first, cuda in _CUDA if branch >= first), 12020 if branch >= 535 else 11040)


def failures(node: Node) -> list[Failure]:
    """With what the driver never supports, which fails in the same way for ever."""
    calls: list[tuple[int | None, str]] = [(None, call) for call in node.driver.unsupported]
    calls += [(gpu.index, call) for gpu in node.gpus for call in gpu.unsupported]
    never = [Failure("error", -ENDLESS, None, gpu, call, _UNSUPPORTED) for gpu, call in calls]
    return [*never, *node.failures]


def failure_row(failure: Failure) -> bytes:
    return _FAILURE.pack(
        failure.at_ns,
        ENDLESS if failure.until_ns is None else failure.until_ns,
        FAILURES.index(failure.kind),
        NONE if failure.gpu is None else failure.gpu,
        failure.code,
        failure.call.encode(),
    )


def fixed(gpu: Gpu, node: Node) -> bytes:
    """What never changes of a GPU."""
    known, plan = board(gpu.model), partitioning(gpu.model)
    rows = [
        _PROFILE.pack(
            profile.name.encode(),
            profile.number,
            profile.id,
            profile.slices,
            profile.size,
            profile.multiprocessors,
            profile.most,
            profile.copy_engines,
            profile.decoders,
            profile.jpegs,
            profile.ofas,
            sum(1 << start for start in profile.starts),
            profile.memory_mib << 20,
        )
        for profile in plan.profiles.values()
    ]
    most = max((engine.slot + 1 for engine in timeline(gpu).engines), default=0)
    return _FIXED.pack(
        gpu.uuid.encode(),
        gpu.model.encode(),
        gpu.minor,
        known.architecture,
        *known.capability,
        0x10 + 3 * gpu.index,
        known.pci_device_id,
        known.mig_capable or bool(gpu.layouts),
        gpu.busy_milliwatts,
        gpu.memory_mib << 20,
        plan.slices,
        plan.memory_slices,
        max(plan.slices, most),
        len(rows),
        known.architecture >= HOPPER if node.driver.gpm is None else node.driver.gpm,
        gpu.sharing == "mps",
        keeps_accounts(node, gpu),
        padded(rows, _PROFILE.size, MOST_PROFILES),
    )


def sample_row(sample: Sample, start_unix_ns: int) -> bytes:
    stamp_us = (start_unix_ns + sample.stamp_ns) // 1000
    return _SAMPLE.pack(stamp_us, sample.util_centi, sample.pid, sample.power_mw, sample.mig)


def process_row(process: Process) -> bytes:
    spec = process.spec
    gi, ci = (NONE if number is None else number for number in (spec.gi, spec.ci))
    return _PROCESS.pack(process.pid, spec.memory_mib << 20, gi, ci)


def account_row(account: Account, start_unix_ns: int) -> bytes:
    process, end = account.process, account.end_ns
    return _ACCOUNT.pack(
        process.pid,
        end is None,
        account.samples,
        account.sum_centi,
        process.spec.memory_mib << 20,
        (start_unix_ns + process.start_ns) // 1000,
        0 if end is None else (end - process.start_ns) // 10**6,
    )


def counters_row(counters: Counters) -> bytes:
    return _COUNTERS.pack(*counters)


def gpu_instance_rows(sampled: SampledGpu) -> bytes:
    """The GPU instances that live now."""
    now = sampled.activity.now
    rows = []
    for home in timeline(sampled.gpu).homes:
        if not home.lives(now):
            continue
        instance = home.instance
        held = sum(p.spec.memory_mib for _, p in sampled.living() if p.spec.gi == instance.gi)
        rows.append(
            _GPU_INSTANCE.pack(
                home.number,
                instance.gi,
                instance.profile_id,
                instance.slices,
                instance.start,
                instance.size,
                instance.memory_mib << 20,
                held << 20,
                counters_row(sampled.home_counters(home)),
            )
        )
    return padded(rows, _GPU_INSTANCE.size, MOST_INSTANCES)


def compute_instance_rows(sampled: SampledGpu) -> bytes:
    """The compute instances that live now, each in its slot."""
    now, profiles = sampled.activity.now, partitioning(sampled.gpu.model).profiles
    rows = [bytes(_COMPUTE_INSTANCE.size)] * MOST_INSTANCES
    for engine, activity in sampled.parts:
        if not engine.lives(now):
            continue
        instance, part = engine.instance, engine.part
        before = [other.slices for other in instance.compute_instances if other.ci < part.ci]
        known = profiles.get(instance.profile)
        processors = known.multiprocessors if known else 16 * instance.slices
        rows[engine.slot] = _COMPUTE_INSTANCE.pack(
            engine.number,
            instance.gi,
            part.ci,
            part.slices,
            sum(before),
            processors * part.slices // instance.slices,
            part.uuid.encode(),
            instance.name_of(part).encode(),
            counters_row(activity.counters()),
        )
    return b"".join(rows)
