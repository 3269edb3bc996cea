"""The driver fails: GPUs fall off the bus, calls hang, the library is changed or forgets who uses it."""

import pytest

from contracts.failing_run import near

FROM_START = {"unobserved:node_starting"}


def test_a_gpu_that_never_fails_is_watched_throughout_beside_those_that_do(run):
    paid = run.paid("bus", 0)
    assert paid.keys() == {"steady"} | FROM_START
    assert paid["steady"].unmeasured < 2
    assert paid["steady"].used / paid["steady"].watched == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize(("gpu", "holder", "lost_s"), [(1, "lost", 20), (2, "gone", 25)])
def test_a_gpu_that_comes_back_was_nobodys_meanwhile(run, gpu, holder, lost_s):
    paid = run.paid("bus", gpu)
    assert paid.keys() == {holder, "unobserved:gpu_lost"} | FROM_START
    assert paid["unobserved:gpu_lost"].charged == near(lost_s)
    assert paid["unobserved:gpu_lost"].unmeasured == paid["unobserved:gpu_lost"].charged
    assert paid[holder].unmeasured < 4
    assert run.paid("bus", gpu, 35, 48).keys() == {"unobserved:gpu_lost"}
    assert run.paid("bus", gpu, 60).keys() == {holder}


def test_a_gpu_that_stays_lost_is_paid_for_to_the_end(run):
    assert run.paid("bus", 3)["unobserved:gpu_lost"].charged == near(run.happened["end"] - 40)
    assert run.paid("bus", 3)["ever"].charged == near(40 - run.happened["all look"])


def test_calls_that_hang_cost_no_other_gpu_a_sample(run):
    for gpu, holders in ((0, {"steady"}), (3, {"half", "other"})):
        paid = run.paid("hang", gpu)
        assert holders | FROM_START <= paid.keys() <= holders | FROM_START | {"unattributed"}
        assert sum(sums.unmeasured for who, sums in paid.items() if who in holders) < 2


@pytest.mark.parametrize(("gpu", "holder"), [(1, "stuck"), (2, "wedged")])
def test_a_gpu_that_hangs_is_still_its_holders_and_nobody_says_that_it_is_idle(run, gpu, holder):
    paid = run.paid("hang", gpu)
    assert paid.keys() == {holder} | FROM_START
    assert paid[holder].unmeasured == near(run.happened["end"] - 30)
    later = run.paid("hang", gpu, 35)[holder]
    assert later.unmeasured == later.charged > 60


def test_readyz_names_the_gpus_that_hang_and_healthz_stays_well(run):
    assert run.answers["before"] == (200, "ok\n")
    status, words = run.answers["readyz"]
    assert status == 503
    assert {run.uuid("hang", gpu) in words for gpu in (1, 2)} == {True}
    assert {run.uuid("hang", gpu) in words for gpu in (0, 3)} == {False}
    assert run.answers["healthz"] == (200, "ok\n")


def test_an_agent_that_starts_while_a_gpu_hangs_says_that_it_is_lost_and_watches_the_others(run):
    kept = run.paid("rehang", 0)
    assert kept.keys() == {"steady"} | FROM_START
    gap_s = kept["steady"].unmeasured
    carried = [row for row in run.books["rehang"].rows(run.uuid("rehang", 0)) if "carried" in row.flags]
    assert sum(row.time.reserved_ns for row in carried) > 0
    hung = run.paid("rehang", 1)
    assert hung.keys() == {"wedged", "unobserved:gpu_lost"} | FROM_START
    assert hung["unobserved:gpu_lost"].charged == near(run.happened["end"] - 36 - gap_s)
    assert hung["wedged"].unmeasured == near(36 - 26 + gap_s)


def test_a_driver_that_was_changed_ends_the_agent_with_words(run):
    code, said = run.answers["upgrade"]
    assert code == 3
    assert said.splitlines()[-1].startswith(
        "gpucost-agent: the NVIDIA driver was changed and its library does not fit"
    )


def test_after_a_change_of_the_driver_the_gap_is_closed(run):
    # What was watched until the change is kept; from then on it is carried by who holds the GPU before and after.
    gap_s = run.happened["upgrade is back"] - 30
    paid = run.paid("upgrade", 0)
    assert paid.keys() == {"kept"} | FROM_START
    assert paid["kept"].unmeasured == near(gap_s)
    paid = run.paid("upgrade", 1)
    assert paid.keys() == {"ended", "unallocated", "unobserved:agent_gap"} | FROM_START
    assert paid["unobserved:agent_gap"].charged == near(gap_s)
    assert paid["ended"].charged == near(30 - run.happened["all look"])


@pytest.mark.parametrize(("gpu", "holder"), [(0, "one"), (1, "two")])
def test_a_library_that_forgot_its_users_is_attached_to_again(run, gpu, holder):
    paid = run.paid("uninit", gpu)
    assert paid.keys() == {holder} | FROM_START
    assert paid[holder].unmeasured < 4
