"""A Lease of Kubernetes: one holder at each instant, whatever happens to it, to the API server and to clocks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from contracts.lease_contract import LeaseContract
from contracts.lease_rivals import Rivals
from gpucost_aggregator.leases.kube_lease import HELD_NS
from gpucost_aggregator.leases.lease_record import DURATION_NS

SECOND = 1_000_000_000


@pytest.fixture
def rivals(tmp_path: Path) -> Iterator[Rivals]:
    stage = Rivals(tmp_path)
    yield stage
    stage.close()


class TestKubeLease(LeaseContract):
    @pytest.fixture
    def stage(self, rivals: Rivals) -> Rivals:
        return rivals


def settled(rivals: Rivals, number: int = 2) -> Rivals:
    """*number* of them, of which the first one holds it."""
    for _ in range(number):
        rivals.join()
    rivals.go_on()
    assert rivals.holders() == ["rival-0"]
    return rivals


def test_what_stands_in_the_object(rivals: Rivals) -> None:
    one = settled(rivals).all[0]
    spec = rivals.api.spec()
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == (
        "rival-0",
        15,
        0,
    )
    assert spec["acquireTime"] < spec["renewTime"]
    before = spec["renewTime"]
    rivals.pass_s(2)
    assert rivals.api.spec()["renewTime"] > before
    one.end()
    left = rivals.api.spec()
    assert (left["holderIdentity"], left["leaseDurationSeconds"], left["leaseTransitions"]) == ("", 1, 0)
    rivals.pass_s(4)
    assert (rivals.api.spec()["holderIdentity"], rivals.api.spec()["leaseTransitions"]) == ("rival-1", 1)


def test_renewing_is_one_request_and_waiting_too(rivals: Rivals) -> None:
    settled(rivals)
    rivals.api.asked.clear()
    rivals.pass_s(2)
    assert [each.split()[0] for each in rivals.api.asked] == ["PUT", "GET"]


def test_what_others_wrote_into_it_stays(rivals: Rivals) -> None:
    settled(rivals)
    rivals.api.put("aggregator", {**rivals.api.spec(), "strategy": "Other"}, labels={"a": "b"})
    rivals.pass_s(30)
    assert rivals.holders() == ["rival-0"]
    assert rivals.api.spec()["strategy"] == "Other"
    assert rivals.api.leases["aggregator"]["metadata"]["labels"] == {"a": "b"}


def test_who_reads_another_holder_lets_go_at_once(rivals: Rivals) -> None:
    settled(rivals)
    rivals.api.put("aggregator", {**rivals.api.spec(), "holderIdentity": "by hand"})
    rivals.pass_s(2)
    assert rivals.holders() == []
    rivals.pass_s(18)
    assert len(rivals.holders()) == 1


def test_a_holder_that_dies_is_followed_after_the_time_that_it_wrote(rivals: Rivals) -> None:
    settled(rivals).all[0].die()
    rivals.pass_s(14)
    assert rivals.holders() == []
    rivals.pass_s(4)
    assert rivals.holders() == ["rival-1"]


def test_a_holder_that_is_cut_off_stops_before_another_one_begins(rivals: Rivals) -> None:
    one, other = settled(rivals).all
    # It goes on believing for as long as that is right.
    rivals.api.cut_off.add(one.token)
    rivals.pass_s(8)
    assert rivals.holders() == ["rival-0"]
    rivals.pass_s(2)
    assert rivals.holders() == []
    rivals.pass_s(8)
    assert rivals.holders() == ["rival-1"]
    rivals.api.cut_off.clear()
    rivals.pass_s(4)
    assert rivals.holders() == ["rival-1"]
    assert (other.counts.taken, one.counts.lost) == (1, 1)


def test_nobody_holds_it_for_long_while_the_api_server_is_away(rivals: Rivals) -> None:
    one, other = settled(rivals).all
    rivals.cut()
    rivals.pass_s(8)
    assert rivals.holders() == ["rival-0"]
    rivals.pass_s(60)
    assert rivals.holders() == []
    rivals.api.status = 0
    rivals.pass_s(4)
    # Nobody else saw it renewed or not meanwhile, so that the same one may go on at once.
    assert rivals.holders() == ["rival-0"]
    assert (one.counts.taken, one.counts.lost, other.counts.taken) == (2, 1, 0)
    assert one.counts.failures == other.counts.failures == 34


@pytest.mark.parametrize("status", [401, 403, 404, 409, 422, 429, 500, 503])
def test_an_api_server_that_refuses_gives_it_to_nobody(rivals: Rivals, status: int) -> None:
    rivals.api.status = status
    for _ in range(2):
        rivals.join()
    rivals.go_on()
    assert rivals.holders() == []
    rivals.api.status = 0
    rivals.go_on()
    assert len(rivals.holders()) == 1


def test_of_two_that_write_at_once_the_first_one_wins(rivals: Rivals) -> None:
    one, other = rivals.join(), rivals.join()
    # Both have read that there is none; the other one is faster.
    rivals.api.meanwhile.append(other.step)
    one.step()
    assert rivals.api.spec()["holderIdentity"] == "rival-1"
    rivals.pass_s(16)
    assert rivals.holders() == ["rival-1"]
    other.die()
    third = rivals.join()
    rivals.pass_s(14)
    rivals.api.meanwhile.append(third.step)
    rivals.pass_s(4)
    assert rivals.holders() == ["rival-2"]
    assert one.counts.failures == 0


def test_another_ones_clock_does_not_matter(rivals: Rivals) -> None:
    """Wall clocks a day apart, monotonic ones of machines that began years apart: what is seen to change counts."""
    one = rivals.join(wall_off_s=-86_400)
    rivals.join(wall_off_s=+86_400, monotonic_s=10**8)
    rivals.go_on()
    rivals.pass_s(120)
    assert rivals.holders() == ["rival-0"]
    one.die()
    rivals.pass_s(18)
    assert rivals.holders() == ["rival-1"]
    rivals.join(wall_off_s=-2 * 86_400)
    rivals.pass_s(120)
    assert rivals.holders() == ["rival-1"]


def test_clocks_that_run_at_different_speeds_within_a_third(rivals: Rivals) -> None:
    slow, fast = rivals.join(), rivals.join()
    rivals.go_on()
    rivals.api.cut_off.add(slow.token)
    for _ in range(30):
        slow.clock.pass_ns(1 * SECOND)
        fast.clock.pass_ns(int(1.45 * SECOND))
        fast.step()
        assert len(rivals.holders()) <= 1
    assert rivals.holders() == ["rival-1"]


def test_a_machine_that_was_suspended_holds_nothing(rivals: Rivals) -> None:
    one = settled(rivals, 1).all[0]
    one.clock.set_wall_ns(60 * SECOND)
    assert rivals.holders() == []
    rivals.pass_s(2)
    assert rivals.holders() == ["rival-0"]
    one.clock.set_wall_ns(-3_600 * SECOND)
    assert rivals.holders() == ["rival-0"]


def test_a_lease_that_is_deleted_by_hand_is_taken_once(rivals: Rivals) -> None:
    one, other = settled(rivals).all
    rivals.api.cut_off.add(one.token)
    rivals.api.leases.clear()
    other.step()
    assert rivals.api.spec()["holderIdentity"] == "rival-1"
    assert rivals.holders() == ["rival-0"]
    rivals.pass_s(18)
    assert rivals.holders() == ["rival-1"]


def test_a_holder_that_is_taken_out_by_hand_has_time_to_see_it(rivals: Rivals) -> None:
    one, _ = settled(rivals).all
    rivals.api.cut_off.add(one.token)
    rivals.api.put("aggregator", {**rivals.api.spec(), "holderIdentity": ""})
    rivals.pass_s(18)
    assert rivals.holders() == ["rival-1"]


def test_a_write_whose_answer_never_comes(rivals: Rivals) -> None:
    """It was made; whoever made it does not hold it before it is sure of that, and is not shut out by itself."""
    one, other = rivals.join(), rivals.join()
    rivals.api.mute = True
    one.step()
    assert rivals.api.spec()["holderIdentity"] == "rival-0"
    assert rivals.holders() == []
    rivals.api.mute = False
    rivals.go_on()
    assert rivals.holders() == ["rival-0"]
    rivals.api.mute = True
    rivals.pass_s(12)
    assert rivals.holders() == []
    rivals.api.mute = False
    one.die()
    rivals.pass_s(18)
    assert rivals.holders() == ["rival-1"]
    assert other.counts.taken == 1


@pytest.mark.parametrize(
    "spec",
    [
        None,
        {},
        {"holderIdentity": None, "leaseDurationSeconds": None, "leaseTransitions": None},
        {"holderIdentity": "gone", "renewTime": "2999-01-01T00:00:00.000000Z"},
        {"holderIdentity": "gone", "leaseDurationSeconds": 15, "renewTime": "no time"},
    ],
)
def test_whatever_else_somebody_wrote_into_it(rivals: Rivals, spec: object) -> None:
    rivals.api.put("aggregator", spec)  # type: ignore[arg-type]  # as it came
    rivals.join()
    rivals.go_on()
    assert rivals.holders() == ["rival-0"]


@pytest.mark.parametrize(
    "spec",
    [
        [1],
        {"holderIdentity": 7},
        {"holderIdentity": "x", "leaseDurationSeconds": "15"},
        {"leaseTransitions": True},
    ],
)
def test_what_can_not_be_read_is_nobodys(rivals: Rivals, spec: object) -> None:
    rivals.api.put("aggregator", spec)  # type: ignore[arg-type]  # as it came
    one = rivals.join()
    rivals.go_on()
    assert rivals.holders() == []
    assert one.counts.failures > 1


def test_a_longer_time_that_its_holder_wrote_is_waited_for(rivals: Rivals) -> None:
    rivals.api.put("aggregator", {"holderIdentity": "patient", "leaseDurationSeconds": 60})
    rivals.join()
    rivals.step()
    rivals.pass_s(56)
    assert rivals.holders() == []
    rivals.pass_s(6)
    assert rivals.holders() == ["rival-0"]


def test_it_is_told_once(rivals: Rivals) -> None:
    with structlog.testing.capture_logs() as told:
        settled(rivals)
        rivals.cut()
        rivals.pass_s(30)
        rivals.api.status = 403
        rivals.pass_s(10)
    events = [each["event"] for each in told if "rival-0" in (each.get("holder"), "rival-0")]
    assert events.count("lease_taken") == 1
    assert events.count("lease_lost") == 1
    # Each of the two tells each of the two troubles.
    assert events.count("lease_not_written") == 4
    assert any(
        "get, create and update of leases in the namespace gpucost" in each.get("trouble", "")
        for each in told
    )


def test_there_is_time_between_the_end_of_one_and_the_begin_of_the_next() -> None:
    assert HELD_NS * 3 <= DURATION_NS * 2
