"""The agent is killed, or asked to end, in the middle of a window, and comes back."""

from contracts.failing_run import RESOLUTION_S, near

JOURNAL_S = 3
"""Readings are a second old when they are read, and are written down each second; a busy machine takes longer."""


def test_who_held_a_gpu_before_and_after_carries_it(run):
    paid = run.paid("crash", 0)
    assert paid.keys() == {"kept", "unobserved:node_starting"}
    away_s = run.happened["crash is back"] - 33 + run.happened["crash is back again"] - 60
    # What the agent that was killed had read lies in its journal.
    assert away_s - RESOLUTION_S < paid["kept"].unmeasured < away_s + RESOLUTION_S + 2 * JOURNAL_S
    carried = [row for row in run.books["crash"].rows(run.uuid("crash", 0)) if "carried" in row.flags]
    assert {row.key.holder.pod for row in carried} == {"kept"}
    assert all(row.time.idle_ns < row.time.charged_ns for row in carried)


def test_where_the_holders_changed_meanwhile_nobody_is_billed(run):
    paid = run.paid("crash", 1)
    assert paid.keys() == {"ended", "later", "unobserved:agent_gap", "unobserved:node_starting"}
    away_s = run.happened["crash is back"] - 33
    assert away_s - RESOLUTION_S < paid["unobserved:agent_gap"].charged < away_s + RESOLUTION_S + JOURNAL_S
    assert paid["later"].charged == near(run.happened["end"] - run.happened["crash is back"])


def test_the_half_of_a_shared_gpu_that_was_given_back_meanwhile_is_nobodys(run):
    paid = run.paid("crash", 2)
    gap_s = run.happened["crash is back again"] - 60
    assert paid["unobserved:agent_gap"].charged == near(gap_s / 2)
    assert paid["half"].reserved == near((run.happened["end"] - run.happened["all look"]) / 2)
    assert paid["leaves"].reserved == near((60 - run.happened["all look"]) / 2)


def test_an_agent_that_is_killed_or_asked_to_end_keeps_what_it_saw(run):
    ends = [window.end_ns for window in run.books["crash"].windows]
    short = [run.books["crash"].second(end_ns) - run.later_s for end_ns in ends if end_ns % run.window_ns]
    assert len(short) == 3
    assert short[0] == near(33)
    assert short[1] == near(60)
