"""What is around the agent fails: the kubelet, the API server, the node's dcgm-exporter."""

import pytest

from contracts.failing_run import GRACE_S, near


def test_a_kubelet_that_restarts_costs_nothing(run):
    # It was away from second 30 to 34, and has a new socket.
    paid = run.paid("kubelet", 0, 20, 49)
    assert paid.keys() == {"stays"}
    assert paid["stays"].unmeasured < 2


def test_holders_hold_for_a_grace_and_after_that_nobody_can_say(run):
    away_s = run.happened["kubelet start"] - run.happened["kubelet stop"] - GRACE_S
    for gpu in (0, 1):
        assert run.paid("kubelet", gpu)["unobserved:kubelet_away"].reserved == near(away_s)
    # It worked all the time, and pays for that; what was idle then is nobody's.
    hidden = run.paid("kubelet", 0, 65, 74)
    assert hidden.keys() == {"stays", "unobserved:kubelet_away"}
    assert hidden["stays"].reserved == hidden["stays"].idle == 0
    assert run.paid("kubelet", 0, 80).keys() == {"stays"}


def test_a_pod_that_ends_meanwhile_is_billed_to_its_end_and_not_afterwards(run):
    paid = run.paid("kubelet", 1)
    assert paid["leaves"].charged == near(54 - run.happened["all look"])
    assert run.paid("kubelet", 1, 80).keys() == {"unallocated"}


def test_what_the_exporter_did_not_say_is_unmeasured_and_still_its_holders(run):
    # A half of the GPU each; the exporter is away from second 40 to 60.
    paid = run.paid("dcgm", 0)
    assert paid["busy"].reserved == near((run.happened["end"] - run.happened["all look"]) / 2)
    assert run.paid("dcgm", 0, 48, 58)["busy"].unmeasured == run.paid("dcgm", 0, 48, 58)["busy"].charged > 0
    before, after = run.paid("dcgm", 0, 20, 35)["busy"], run.paid("dcgm", 0, 75, 105)["busy"]
    assert before.unmeasured + after.unmeasured < 0.1
    assert before.used / before.charged == pytest.approx(0.5, abs=0.05)
    assert after.used / after.charged == pytest.approx(0.5, abs=0.05)


def test_pods_that_come_and_go_while_the_api_server_is_away_are_known_by_their_ids(run):
    node = run.nodes["api"]
    known = {pod.name: pod.uid for pod in node.pods}
    rows = [row for row in run.books["api"].rows() if row.key.holder.pod]
    assert {row.key.holder.pod: row.key.holder.pod_uid for row in rows} == known
    assert {row.key.holder.pod_uid for row in rows} == set(known.values())
    assert run.paid("api", 1)["comes"].charged == near(run.happened["end"] - 88)
    assert run.paid("api", 2)["leaves"].charged == near(92 - run.happened["all look"])
    assert run.paid("api", 0).keys() == {"stays", "unobserved:node_starting"}
