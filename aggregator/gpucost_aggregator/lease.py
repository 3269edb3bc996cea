"""The seam for what only one process may do at a time, where several have one store."""

from typing import Protocol


class Lease(Protocol):
    """
    A right that at most one process has at each instant, as far as their clocks run at one speed within a third.

    A process that stands still in the middle of its work may outlast it by that one piece of work, so what is done
    under a lease is also safe when it is done twice (ADR 0013).
    """

    def is_held(self) -> bool:
        """
        Whether this process has it now.

        Called from any thread, right before each piece of work that is done as one: a transaction, a message.
        Neither blocks nor raises; where nobody can say, it is not held.
        """
        ...


class StoreLease:
    """
    Held as long as this process has the embedded store open: its file is locked, so no other process has it open.
    """

    def __init__(self) -> None:
        self._is_open = True

    def is_held(self) -> bool:
        """Whether the store is open here."""
        return self._is_open

    def end(self) -> None:
        """The store is about to be closed."""
        self._is_open = False
