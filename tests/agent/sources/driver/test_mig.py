"""How a GPU is partitioned, against a driver that is kept in memory."""

import pytest
from gpucost.identity import Device

from contracts.gpu_bench import UUID, Bench
from contracts.memory_driver import FULL, HALF, SMALL
from contracts.source_contract import check_gpu_readings
from gpucost_agent.readings import WHOLE, ComputeInstance, GpuInstance, Partition, RunningProcess
from gpucost_agent.sources.driver.driver_calls import (
    ListKind,
    RawCompute,
    RawInstance,
    RawProcess,
    RawProfile,
    Why,
)
from gpucost_agent.sources.driver.mig import gpu_instances, mig_devices

SECOND = 1_000_000_000


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def cut(bench: Bench) -> Bench:
    """A GPU with a 3g of two compute instances, and a 1g."""
    bench.driver.cut.make(2, HALF, 4, 1, 2)
    bench.driver.cut.make(9, SMALL, 0, 1)
    return bench


CUT = Partition(
    True,
    (
        GpuInstance(
            2, "3g.40gb", 4, 3, 4, (ComputeInstance(0, "MIG-2-0", 1), ComputeInstance(1, "MIG-2-1", 2))
        ),
        GpuInstance(9, "1g.10gb", 0, 1, 1, (ComputeInstance(0, "MIG-9-0", 1),)),
    ),
    7,
    8,
)


def test_what_can_not_be_partitioned_is_whole_and_hardly_asked(bench: Bench) -> None:
    for _ in range(3):
        reading = bench.read()
        assert (reading.partition, reading.troubles) == (WHOLE, ())
    assert bench.driver.asked.count("mig_mode") == 1


def test_mig_mode_that_is_off_is_asked_at_each_look(bench: Bench) -> None:
    bench.driver.cut.mode = False
    assert bench.read().partition == WHOLE
    bench.driver.cut.make(1, FULL, 0, 7)
    assert bench.read().partition == Partition(
        True, (GpuInstance(1, "7g.80gb", 0, 7, 8, (ComputeInstance(0, "MIG-1-0", 7),)),), 7, 8
    )
    bench.driver.cut.mode = False
    assert bench.read().partition == WHOLE


def test_instances_their_parts_and_the_totals(cut: Bench) -> None:
    readings = [cut.read(), cut.read()]
    assert readings[0].partition == CUT
    assert [reading.troubles for reading in readings] == [(), ()]
    assert readings[1].partition is readings[0].partition
    check_gpu_readings(readings, 0)


def test_totals_are_those_of_the_largest_profile(cut: Bench) -> None:
    cut.driver.cut.profiles = [RawProfile(19, "1g.6gb", 1, 5_952, 4), RawProfile(9, "4g.24gb", 4, 24_320, 1)]
    partition = cut.read().partition
    assert partition is not None
    assert (partition.compute_total, partition.memory_total) == (4, 4)


def test_mig_mode_without_instances(bench: Bench) -> None:
    bench.driver.cut.mode = True
    assert bench.read().partition == Partition(True, (), 7, 8)


def test_an_instance_without_compute_instances_is_listed(cut: Bench) -> None:
    cut.driver.cut.make(5, SMALL, 3)
    partition = cut.read().partition
    assert partition is not None
    assert partition.instances[1] == GpuInstance(5, "1g.10gb", 3, 1, 1, ())


def test_where_instances_can_not_be_listed_those_that_are_held_are_known(cut: Bench) -> None:
    cut.driver.cut.make(5, SMALL, 3)
    cut.fail(Why.NO_PERMISSION, "gpu_instances")
    reading = cut.read()
    assert (reading.partition, reading.troubles) == (CUT, ())


def test_all_is_read_only_when_something_changed_or_every_ten_seconds(cut: Bench) -> None:
    for _ in range(20):
        cut.read()
        cut.clock.pass_ns(SECOND)
    assert cut.driver.asked.count("gpu_instances") == 2 * 3
    assert cut.driver.asked.count("profiles") == 1
    cut.driver.cut.destroy(9)
    partition = cut.read().partition
    assert partition is not None
    assert [instance.gi for instance in partition.instances] == [2]


def test_one_that_is_made_anew_under_its_number_is_seen_at_once(cut: Bench) -> None:
    cut.read()
    cut.driver.cut.destroy(9)
    cut.driver.cut.make(9, SMALL, 1, 1)
    partition = cut.read().partition
    assert partition is not None
    assert partition.instances[1].placement == 1


def test_one_that_is_made_anew_with_the_same_handle_is_seen_at_once(cut: Bench) -> None:
    cut.read()
    handles = {key: handle for key, handle in cut.driver.cut.handles.items() if key[0] == 9}
    cut.driver.cut.destroy(9)
    cut.driver.cut.make(9, SMALL, 1, 1)
    # Drivers use handles again; only the UUID tells then.
    cut.driver.cut.handles |= handles
    cut.driver.cut.parts[9, 0] = RawCompute("MIG-9-0-anew", 1)
    partition = cut.read().partition
    assert partition is not None
    assert partition.instances[1].placement == 1


def test_a_part_without_slices_is_a_layout_that_is_not_understood(cut: Bench) -> None:
    cut.driver.cut.parts[9, 0] = RawCompute("MIG-9-0", 0)
    reading = cut.read()
    assert (reading.partition, reading.troubles) == (None, ("partition_failed",))


def test_a_handle_that_went_stale_brings_a_new_reading(cut: Bench) -> None:
    cut.read()
    cut.driver.asked.clear()
    cut.fail(Why.STALE_HANDLE, "energy")
    cut.read()
    cut.mend()
    cut.read()
    assert cut.driver.asked.count("gpu_instances") == 3, "once for each profile"


def test_what_changes_while_it_is_read_is_read_again(cut: Bench) -> None:
    times = iter([True])

    def ask(name: str) -> None:
        if name == "compute_instance" and next(times, False):
            cut.driver.cut.destroy(2)

    cut.driver.ask = ask
    reading = cut.read()
    assert (reading.partition, reading.troubles) == (
        Partition(True, CUT.instances[1:], 7, 8),
        (),
    )


@pytest.mark.parametrize(
    ("call", "why"),
    [("mig_mode", Why.TIMEOUT), ("mig_devices", Why.FAILED), ("compute_instance", Why.STALE_HANDLE)],
)
def test_what_can_not_be_read_is_not_known(cut: Bench, call: str, why: Why) -> None:
    cut.fail(why, call)
    for _ in range(2):
        reading = cut.read()
        assert (reading.partition, reading.troubles[0]) == (None, f"partition_{why}")
    cut.mend()
    assert cut.read().partition == CUT


def test_what_is_not_permitted_is_said_once_for_each_partition(cut: Bench) -> None:
    cut.fail(Why.NO_PERMISSION, "gpu_instances", "gpu_instance")
    troubles = []
    for step in range(25):
        if step == 20:
            cut.driver.cut.destroy(9)
        reading = cut.read()
        assert reading.partition is None
        troubles.append(reading.troubles)
        cut.clock.pass_ns(SECOND)
    assert [step for step, names in enumerate(troubles) if names == ("partition_no_permission",)] == [0, 20]
    assert cut.driver.asked.count("gpu_instance") == 3
    cut.mend()
    cut.clock.pass_ns(10 * SECOND)
    assert cut.read().partition is not None


def test_a_partitioned_gpu_has_no_ring_and_begins_anew_when_it_is_whole(bench: Bench) -> None:
    bench.driver.cut.mode = False
    bench.read()
    bench.sample(50, 7)
    bench.driver.cut.mode = True
    bench.driver.asked.clear()
    reading = bench.read()
    assert (reading.ring, reading.process_window, reading.troubles) == (None, None, ())
    assert not {"samples", "uses"} & set(bench.driver.asked)
    bench.driver.cut.mode = False
    assert bench.read().ring == ()
    bench.sample(50, 7)
    ring = bench.read().ring
    assert ring is not None
    assert len(ring) == 1


def test_what_one_mode_does_not_support_is_asked_in_the_other(cut: Bench) -> None:
    cut.fail(Why.NOT_SUPPORTED, "energy")
    cut.read()
    cut.mend()
    cut.driver.cut.mode = False
    assert cut.read().energy_uj == 0


def test_without_permission_for_the_gpus_list_the_instances_own_are_read(cut: Bench) -> None:
    cut.driver.lists[ListKind.COMPUTE] = [RawProcess(7, 9, 0, 10), RawProcess(7, 2, 1, 20)]
    cut.fail(Why.NO_PERMISSION, *ListKind)
    reading = cut.read()
    assert reading.processes == (RunningProcess(7, 20, 2, 1), RunningProcess(7, 10, 9, 0))
    assert reading.troubles == ()


def test_no_permission_on_a_whole_gpu_is_a_trouble(bench: Bench) -> None:
    bench.fail(Why.NO_PERMISSION, *ListKind)
    reading = bench.read()
    assert (reading.processes, reading.troubles) == (None, ("processes_no_permission",))


def test_a_lost_gpu_is_not_known_to_be_whole(cut: Bench) -> None:
    cut.read()
    cut.fail(Why.LOST, "mig_mode")
    reading = cut.read()
    assert (reading.partition, reading.troubles) == (None, ("gpu_lost",))
    cut.mend()
    assert cut.read().partition == CUT


def test_an_unknown_profile_is_not_guessed() -> None:
    with pytest.raises(Exception, match="unknown profile 99"):
        gpu_instances([RawInstance(1, 99, 0, 1)], [SMALL], {})


def test_a_part_of_an_instance_that_is_gone_is_no_partition() -> None:
    with pytest.raises(Exception, match="not there"):
        gpu_instances([], [SMALL], {(1, 0): RawCompute("MIG-x", 1)})


def test_devices_by_their_uuids() -> None:
    assert mig_devices(UUID, CUT) == {
        "MIG-2-0": Device(UUID, 2, 0, "3g.40gb", 4),
        "MIG-2-1": Device(UUID, 2, 1, "3g.40gb", 4),
        "MIG-9-0": Device(UUID, 9, 0, "1g.10gb", 0),
    }
    assert mig_devices(UUID, WHOLE) == {}
