"""A GPU is cut anew while containers hold parts of it, and the numbers of instances are used again."""

from contracts.failing_run import near


def holders(run, gpu, **of):
    """Seconds reserved by holder, of the slices of one kind of device, in its own time."""
    found = {}
    for row in run.books["mig"].rows(run.uuid("mig", gpu)):
        device = row.key.device
        if all(getattr(device, name) == value for name, value in of.items()):
            numerator, denominator = row.weight
            seconds = row.time.reserved_ns * denominator / numerator / 10**9
            found[row.key.holder.pod or row.key.holder.kind.value] = (
                found.get(row.key.holder.pod or row.key.holder.kind.value, 0.0) + seconds
            )
    return found


def test_an_instance_that_stays_is_its_holders_throughout(run):
    found = holders(run, 0, profile="3g.40gb", gi=1)
    assert found == {"stays": near(run.happened["end"] - run.happened["all look"])}


def test_an_instance_that_is_destroyed_is_billed_no_longer(run):
    found = holders(run, 0, profile="3g.40gb", gi=2)
    # The kubelet's answer may come up to a look before the driver shows that the instance is gone.
    assert found.pop("unallocated", 0.0) <= 1.0
    assert found == {"cut-off": near(40 - run.happened["all look"])}


def test_an_instance_under_an_old_number_has_its_own_holders(run):
    found = holders(run, 0, profile="1g.10gb", gi=2)
    assert found.keys() - {"unattributed"} == {"second", "third", "unallocated"}
    assert found["second"] == near(62 - 45)
    assert found["third"] == near(run.happened["end"] - 69)


def test_a_gpu_that_is_cut_for_the_first_time(run):
    paid = run.paid("mig", 1)
    assert paid["whole"].charged == near(46 - run.happened["all look"])
    whole = [row for row in run.books["mig"].rows(run.uuid("mig", 1)) if row.key.device.is_whole]
    parts = [row for row in run.books["mig"].rows(run.uuid("mig", 1)) if not row.key.device.is_whole]
    assert sum(row.time.charged_ns for row in whole) / 10**9 == near(50 + run.later_s)
    assert {row.key.device.profile for row in parts} == {"2g.20gb", "remainder"}
    # An id of the kubelet's means a device that is not there any more; a free one may be what it means.
    assert {row.key.holder.reason for row in parts if row.key.device.gi == 5} <= {"unmapped", ""}
    assert not [row for row in parts if row.key.holder.pod]
