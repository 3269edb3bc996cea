"""Paths at which no kubelet can listen."""

from pathlib import Path

import pytest
from gpucost.trouble import Retry

from contracts.hand_clock import HandClock
from gpucost_agent.sources.kubelet.device_ids import KnownGpus
from gpucost_agent.sources.kubelet.pod_resources import PodResources


def test_a_path_that_can_be_no_socket_is_a_trouble_in_words(tmp_path: Path) -> None:
    source = PodResources(tmp_path / ("x" * 300), KnownGpus, HandClock())
    with pytest.raises(Retry, match="File name too long"):
        source.read()
