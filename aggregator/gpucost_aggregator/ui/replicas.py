"""Whether all aggregators were heard, in one sentence; empty where they were."""

from collections.abc import Sequence
from dataclasses import dataclass

MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Replicas:
    """
    How many aggregators were *asked*, this one among them, and how many of them did not answer.

    *named* are the addresses of the silent ones; None where they are not the reader's.
    """

    asked: int = 1
    silent: int = 0
    named: Sequence[str] | None = ()


ALL_ANSWERED = Replicas()


def silence(replicas: Replicas) -> str:
    """``1 of 3 aggregators did not answer (10.0.0.7:8080): what its nodes do now is not shown.``"""
    if not replicas.silent:
        return ""
    named = list(replicas.named or ())[:MOST_NAMED]
    if more := len(replicas.named or ()) - len(named):
        named.append(f"{more} more")
    which = f" ({', '.join(named)})" if named else ""
    whose = "its" if replicas.silent == 1 else "their"
    return (
        f"{replicas.silent:,} of {replicas.asked:,} aggregators did not answer{which}:"
        f" what {whose} nodes do now is not shown."
    )
