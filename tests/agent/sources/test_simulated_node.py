"""The simulated node's /proc and log folders, in each shape that runtimes make."""

from itertools import product
from pathlib import Path

import pytest

from contracts.hand_clock import HandClock
from gpucost_agent.sources.host.host_files import HostFiles
from gpucost_agent.sources.host.processes import Processes
from simnode.lives import living
from simnode.pod_logs import PodLogs
from simnode.proc_tree import ProcTree
from simnode.scenario import load

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND

SCENARIO = """
name: small
clusters:
  - name: one
    nodes:
      - name: node-0
        booted: -30m
        cgroup: {{version: {version}, driver: {driver}, runtime: {runtime}}}
        gpus: [{{model: NVIDIA L4}}]
        pods:
          - name: guaranteed
            namespace: a
            uid: 00000002-0000-4000-8000-000000000000
            containers: [{{name: main, processes: [{{gpu: 0}}, {{gpu: 0}}]}}]
          - name: burstable
            namespace: a
            uid: 00000000-0000-4000-8000-000000000000
            containers: [{{name: main, processes: [{{gpu: 0}}]}}, {{name: side-car, processes: [{{gpu: 0}}]}}]
          - name: best-effort
            namespace: b
            uid: 00000001-0000-4000-8000-000000000000
            containers: [{{name: main, processes: [{{gpu: 0}}]}}]
        host_processes: [{{gpu: 0}}]
"""
SHAPES = list(product((1, 2), ("systemd", "cgroupfs"), ("containerd", "crio", "docker")))


@pytest.mark.parametrize(("version", "driver", "runtime"), SHAPES)
def test_every_process_is_named(version: int, driver: str, runtime: str, tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO.format(version=version, driver=driver, runtime=runtime))
    scenario = load(path, None)
    node = scenario.clusters[0].nodes[0]
    tree = ProcTree(tmp_path / "proc", tmp_path / "staging", node, scenario.seed, START)
    tree.create(0)
    PodLogs(tmp_path / "host", node).create(0)
    processes = Processes(tmp_path / "proc", HandClock())
    files = HostFiles(tmp_path / "host")

    alive = living(node, 0)
    assert len(alive) == 6
    for process in alive:
        found = processes.identify(process.pid)
        assert found is not None
        if process.pod is None or process.container is None:
            assert (found.pod_uid, found.container_id, found.unit) == ("", "", "gpu-job-0.service")
            continue
        assert (found.pod_uid, found.container_id, found.unit) == (process.pod.uid, process.container.id, "")
        names = (process.pod.namespace, process.pod.name, process.container.name)
        assert files.container(found.container_id) == names
        assert files.pod_uid(process.pod.namespace, process.pod.name) == process.pod.uid
    boot = processes.boot()
    assert (boot.boot_id, boot.booted_at_ns) == (tree.boot_id, START - 1_800 * SECOND)
    assert processes.blindness([process.pid for process in alive]) is None
    assert processes.blindness() is None
