"""
A batch that there is no room for any more, abridged: what its GPUs cost stays, who held and used them goes.

One slice a GPU remains, unobserved for the reason spool_full, so that the node's books close all the same.
"""

from collections import defaultdict
from collections.abc import Callable

from gpucost.cost_slice import SYNTHETIC, Cost, CostSlice, GpuTime, SliceKey
from gpucost.identity import Device, NodeId, unobserved
from gpucost.trouble import Reject
from gpucost.wire import BatchContent, WindowSlices, batch_from_bytes, batch_from_message, batch_to_bytes

SPOOL_FULL = "spool_full"


def abridging(node: NodeId) -> Callable[[bytes], bytes]:
    """What abridges the batches of *node*; one that can not be read is returned as it is."""

    def abridge(message: bytes) -> bytes:
        try:
            content = batch_from_message(batch_from_bytes(message), node)
        except Reject:
            return message
        window = WindowSlices(content.window.window_start_ns, content.window.length_ns, lost(content.slices))
        return batch_to_bytes(
            BatchContent(
                content.sequence_number,
                window,
                (),
                content.gpus,
                content.closed_through_ns,
                content.price_book_version,
            )
        )

    return abridge


def lost(slices: tuple[CostSlice, ...]) -> tuple[CostSlice, ...]:
    """One slice for each GPU and resource, with the time and the cost of all its slices."""
    of_gpu: dict[tuple[str, str], list[CostSlice]] = defaultdict(list)
    for row in slices:
        of_gpu[row.key.device.gpu_uuid, row.key.resource].append(row)
    return tuple(
        CostSlice(
            SliceKey(
                rows[0].key.node,
                Device(gpu_uuid),
                resource,
                unobserved(SPOOL_FULL),
                rows[0].key.window_start_ns,
            ),
            charged_ns := sum(row.time.charged_ns for row in rows),
            GpuTime(charged_ns, 0, 0, charged_ns),
            Cost(0, 0, cost := sum(row.cost.nanodollars for row in rows), cost),
            rows[0].price,
            flags=(SYNTHETIC,),
            policy_version=rows[0].policy_version,
        )
        for (gpu_uuid, resource), rows in of_gpu.items()
    )
