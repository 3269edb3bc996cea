"""Random lives of three who want one Lease: at no instant do two of them hold it; left alone, one does."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.lease_rivals import Rivals

SECOND = 1_000_000_000
FAR_S = 24

happenings = st.tuples(
    st.sampled_from(["cut", "cut", "mend", "mend", "die", "end", "suspend", "step"])
    | st.sampled_from(["mute", "speak", "away", "back", "delete", "edit"]),
    st.integers(0, 2),
    st.integers(1, FAR_S),
)
"""What happens, to whom, and how long all go on trying after it."""


def pass_s(rivals: Rivals, seconds: int, speeds: list[float]) -> None:
    """Time passes for each at its own speed, and each tries now and then."""
    for second in range(seconds):
        for each, speed in zip(rivals.all, speeds * len(rivals.all), strict=False):
            each.clock.pass_ns(int(speed * SECOND))
        assert len(rivals.holders()) <= 1
        if second % 2:
            rivals.step()


def happen(rivals: Rivals, what: str, number: int) -> None:
    api = rivals.api
    alive = [each for each in rivals.all if not each.is_over]
    one = alive[number % len(alive)]
    if what == "step":
        one.step()
    elif what == "cut":
        api.cut_off.add(one.token)
    elif what == "mend":
        api.cut_off.discard(one.token)
    elif what in ("die", "end"):
        one.die() if what == "die" else one.end()
        rivals.join()
    elif what == "suspend":
        one.clock.set_wall_ns(60 * SECOND)
    elif what in ("mute", "speak"):
        api.mute = what == "mute"
    elif what in ("away", "back"):
        api.status = 503 if what == "away" else 0
    elif what == "delete":
        api.leases.clear()
    elif what == "edit" and api.leases:
        api.put("aggregator", {**api.spec(), "holderIdentity": ""})


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(happenings, min_size=3, max_size=20),
    st.lists(st.floats(1.0, 1.4), min_size=3, max_size=3),
)
def test_there_are_never_two(life: list[tuple[str, int, int]], speeds: list[float]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rivals = Rivals(Path(folder))
        try:
            for _ in range(3):
                rivals.join()
            pass_s(rivals, FAR_S, speeds)
            for what, number, seconds in life:
                happen(rivals, what, number)
                assert len(rivals.holders()) <= 1, what
                pass_s(rivals, seconds, speeds)
            rivals.api.cut_off.clear()
            rivals.api.mute, rivals.api.status = False, 0
            rivals.pass_s(60)
            assert len(rivals.holders()) == 1
        finally:
            rivals.close()
