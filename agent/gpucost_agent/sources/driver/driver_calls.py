"""
What sources ask the driver about one GPU: the calls, the rows that they answer, and why one may answer nothing.

nvml_calls.py makes them on the real driver.
"""

from enum import StrEnum
from typing import NamedTuple, Protocol

from gpucost.trouble import Retry


class Why(StrEnum):
    """Why a call of the driver gave nothing."""

    UNINITIALIZED = "uninitialized"
    STALE_HANDLE = "stale_handle"
    NOT_SUPPORTED = "not_supported"
    NO_PERMISSION = "no_permission"
    NOTHING = "nothing"
    TOO_SMALL = "too_small"
    TIMEOUT = "timeout"
    LOST = "lost"
    NO_DRIVER = "no_driver"
    FAILED = "failed"


class DriverTrouble(Retry):
    """A call of the driver gave nothing; *code* is the driver's own number, where it gave one."""

    def __init__(self, why: Why, message: str, code: int = -1) -> None:
        super().__init__(message)
        self.why = why
        self.code = code


class ListKind(StrEnum):
    """The driver's three lists of processes."""

    COMPUTE = "compute"
    GRAPHICS = "graphics"
    MPS = "mps"


class RawSample(NamedTuple):
    """A sample as the driver gives it: wall microseconds and whole percents."""

    stamp_us: int
    percent: int


class RawUse(NamedTuple):
    """Use by a process as the driver gives it: its newest sample, and whole percents of the window."""

    pid: int
    stamp_us: int
    percent: int


class RawProcess(NamedTuple):
    """A process in one of the driver's lists; memory is of one instance of a GPU in MIG mode."""

    pid: int
    gi: int | None
    ci: int | None
    memory_bytes: int | None


class RawMig(NamedTuple):
    """A compute instance that is there; *handle* and *uuid* tell one that was made anew under the same numbers."""

    gi: int
    ci: int
    handle: int
    uuid: str


class RawCompute(NamedTuple):
    """What a compute instance is."""

    uuid: str
    compute_slices: int


class RawProfile(NamedTuple):
    """A kind of GPU instance that this GPU can have, *most* of it at a time."""

    profile_id: int
    name: str
    compute_slices: int
    memory_mib: int
    most: int


class RawInstance(NamedTuple):
    """A GPU instance: of which profile, and on which of the memory slices."""

    gi: int
    profile_id: int
    start: int
    size: int


class RawActivity(NamedTuple):
    """GPM's percents between two samples; None where the driver could not compute one."""

    graphics: float | None
    sm: float | None
    tensor: float | None
    dram: float | None


class RawAccount(NamedTuple):
    """
    What the driver's accounting holds of a process: the sum over its ring samples, in hundredths of a percent.

    *started_us* and the PID make its key; *sample_count* never goes back either, unless the driver began anew.
    """

    pid: int
    started_us: int
    running: bool
    sample_count: int
    centi_sum: int


GpmSample = object
"""The driver's own memory for one GPM sample."""


class Calls(Protocol):
    """The driver's calls on one GPU. Each may block for ever and raises DriverTrouble, or Stop."""

    def samples(self, since_us: int) -> list[RawSample]:
        """The ring's samples that ended after *since_us*; none if nothing is new."""
        ...

    def uses(self, since_us: int) -> list[RawUse]:
        """Use by process, averaged over those samples; none if no process used the GPU."""
        ...

    def processes(self, kind: ListKind) -> list[RawProcess]:
        """The processes of one of the driver's lists, in MIG mode those of all instances."""
        ...

    def energy_mj(self) -> int:
        """Millijoules since the driver was loaded."""
        ...

    def rate_percent(self) -> int:
        """Activity over the driver's last period, which is a second at most."""
        ...

    def mig_mode(self) -> bool:
        """Whether the GPU is in MIG mode now."""
        ...

    def mig_devices(self) -> tuple[RawMig, ...]:
        """The compute instances that are there; they name them for the calls below until the next answer."""
        ...

    def compute_instance(self, gi: int, ci: int) -> RawCompute:
        """What one of the compute instances is."""
        ...

    def instance_processes(self, kind: ListKind, gi: int, ci: int) -> list[RawProcess]:
        """The processes of one compute instance."""
        ...

    def profiles(self) -> list[RawProfile]:
        """The kinds of GPU instances that this GPU can have."""
        ...

    def memory_slices(self, profile_id: int) -> int:
        """How many memory slices an instance of a profile takes."""
        ...

    def gpu_instances(self, profile: RawProfile) -> list[RawInstance]:
        """The GPU instances of one profile, those without compute instances too."""
        ...

    def gpu_instance(self, gi: int) -> RawInstance:
        """One GPU instance."""
        ...

    def gpm_supported(self) -> bool:
        """Whether the GPU has GPM."""
        ...

    def gpm_allocate(self) -> GpmSample:
        """Memory for one sample, until it is given back."""
        ...

    def gpm_free(self, sample: GpmSample) -> None:
        """Gives it back."""
        ...

    def gpm_sample(self, gi: int | None, sample: GpmSample) -> None:
        """Fills *sample* with the counters of the whole GPU, or of a GPU instance."""
        ...

    def gpm_activity(self, earlier: GpmSample, later: GpmSample) -> RawActivity:
        """The mean activity between two samples."""
        ...

    def accounting_enabled(self) -> bool:
        """Whether the administrator switched the driver's accounting on."""
        ...

    def accounted_pids(self) -> list[int]:
        """The processes of which accounting knows, those that ended too."""
        ...

    def account(self, pid: int) -> RawAccount:
        """What it knows of one; raises NOTHING if that is gone."""
        ...
