"""One GPU of the real driver by its handle, which is looked up again where it became worthless."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from gpucost.clock import Clock

from gpucost_agent.sources.driver.driver_calls import DriverTrouble, Why

T = TypeVar("T")

_DENIED = frozenset({17, 999})
"""What the driver says when the container may not use its devices any more; and at times for other reasons."""


class Library(Protocol):
    """The driver's library; safe for many threads. All but *generation* may block and raise DriverTrouble, or Stop."""

    @property
    def generation(self) -> int:
        """Grows with each attachment; handles of an earlier one are worthless."""
        ...

    def call(self, name: str, *arguments: object) -> Any:
        """What the binding's function of that name answers."""
        ...

    def named(self, name: str) -> Any:
        """A structure or number of the binding."""
        ...

    def symbol(self, name: str) -> Callable[..., int]:
        """The library's own function of that name, which answers a code."""
        ...

    def check(self, code: int) -> None:
        """Raises what a code of such a function means."""
        ...

    def attach_again(self, generation: int, now_ns: int) -> None:
        """Attaches once more, unless that was done since *generation*, or tried a moment ago."""
        ...

    def answered(self) -> None:
        """A GPU answered."""
        ...

    def denied(self, now_ns: int) -> None:
        """A GPU said what it says when its device may not be used."""
        ...


class DeviceHandle:
    """
    Calls on one GPU, for one thread. Each may block for ever, and raises DriverTrouble, or Stop.

    A handle is looked up again once a call.
    """

    def __init__(self, library: Library, gpu_uuid: str, clock: Clock) -> None:
        self.library = library
        self._gpu_uuid = gpu_uuid
        self._clock = clock
        self._handle: Any = None
        self._generation = 0

    def call(self, name: str, *arguments: object) -> Any:
        """What the binding's function of that name answers for the GPU."""
        return self.on_device(lambda handle: self.library.call(name, handle, *arguments))

    def on_device(self, ask: Callable[[Any], T]) -> T:
        """What *ask* answers for the GPU's handle; it may be asked twice."""
        try:
            answer = ask(self.current_handle())
        except DriverTrouble as trouble:
            if trouble.code in _DENIED:
                self.library.denied(self._clock.now().monotonic_ns)
            if trouble.why not in (Why.UNINITIALIZED, Why.STALE_HANDLE, Why.LOST):
                raise
            self._handle = None
            if trouble.why is Why.LOST:
                raise
            if trouble.why is Why.UNINITIALIZED:
                self.library.attach_again(self._generation, self._clock.now().monotonic_ns)
            answer = ask(self.current_handle())
        self.library.answered()
        return answer

    def current_handle(self) -> Any:
        """The GPU's handle, looked up if it is not known."""
        generation = self.library.generation
        if self._handle is None or generation != self._generation:
            self._generation = generation
            try:
                self._handle = self.library.call("nvmlDeviceGetHandleByUUID", self._gpu_uuid)
            except DriverTrouble as trouble:
                if trouble.why is Why.NOTHING:
                    raise DriverTrouble(
                        Why.LOST, "the driver does not know the GPU's UUID any more"
                    ) from trouble
                raise
        return self._handle
