"""Whatever fails, no nano-dollar is lost or invented, and no second of a GPU's life is missing or billed twice."""

import pytest

from contracts.node_stage import SECOND

NODES = ("bus", "hang", "rehang", "upgrade", "uninit", "mig", "kubelet", "dcgm", "crash", "api")


@pytest.mark.parametrize("node", NODES)
def test_laws_1_to_6(run, node):
    laws = run.laws(node)
    assert laws.breaches() == []
    # From the node's boot until its agent was asked to end, every GPU.
    for gpu in run.nodes[node].gpus:
        assert laws.charged_ns(gpu) == run.books[node].windows[-1].end_ns - run.books[node].start_ns
        assert laws.charged_ns(gpu) / SECOND == pytest.approx(run.happened["end"] + run.later_s, abs=10)


@pytest.mark.parametrize("node", NODES)
def test_the_agent_itself_saw_no_law_broken(run, node):
    for words in ("law_broken", "thread_failed", "Traceback"):
        assert words not in run.said[node]


def test_every_node_was_played(run):
    assert set(NODES) == set(run.nodes)
