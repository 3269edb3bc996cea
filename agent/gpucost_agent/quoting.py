"""What a GPU of this node costs: what its price depends on, as far as the node's object is known."""

from collections.abc import Mapping
from dataclasses import dataclass

from gpucost.cost_slice import Price
from gpucost.prices import GpuContext

from gpucost_agent.fleet_prices import NodePrices
from gpucost_agent.loops.room import Room
from gpucost_agent.readings import Gpu, Node


@dataclass(frozen=True, slots=True)
class Quoting:
    """Prices for the GPUs of one node."""

    prices: NodePrices
    cluster: str

    def quote(self, room: Room, gpu_uuid: str, at_ns: int) -> Price:
        """
        The price of a GPU for the window that begins at *at_ns*.

        A node's price is divided over the GPUs that were there when the window began.
        """
        gpu = next(gpu for gpu in room.books.gpus() if gpu.uuid == gpu_uuid)
        context = self._context(room, gpu, room.books.gpus(at_ns))
        return self.prices.at(at_ns).quote(context, gpu_uuid, at_ns)

    def contexts(self, room: Room) -> Mapping[str, GpuContext]:
        """What the price of each GPU depends on, by UUID."""
        gpus = room.books.gpus()
        return {gpu.uuid: self._context(room, gpu, gpus) for gpu in gpus}

    def _context(self, room: Room, gpu: Gpu, gpus: tuple[Gpu, ...]) -> GpuContext:
        latest = room.cluster_now()
        return context_of(self.cluster, gpu, gpus, latest.node if latest else None)


def context_of(cluster: str, gpu: Gpu, gpus: tuple[Gpu, ...], node: Node | None) -> GpuContext:
    """What the price of *gpu* depends on; *gpus* are all that were seen on its node since the boot."""
    return GpuContext(
        cluster,
        node.labels if node else {},
        node.annotations if node else {},
        gpu.model,
        tuple(each.uuid for each in gpus),
    )
