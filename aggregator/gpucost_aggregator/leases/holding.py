"""A lease that is tried for again and again, in a thread of its own, and left at the end."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager

from gpucost_aggregator.leases.kube_lease import KubeLease

STEP_S = 2.0
"""Between two tries: five within the time for which one write holds."""


@asynccontextmanager
async def holding(lease: KubeLease, step_s: float = STEP_S) -> AsyncIterator[None]:
    """
    Try to take and to renew *lease* as long as this lasts, and leave it then.

    What is done under it has to have ended by then. The thread is its own, so that no long report keeps it waiting.
    """
    with ThreadPoolExecutor(1, "lease") as thread:
        task = asyncio.create_task(_again_and_again(lease, thread, step_s))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            # Behind a try that is still under way.
            await asyncio.get_running_loop().run_in_executor(thread, lease.leave)


async def _again_and_again(lease: KubeLease, thread: Executor, step_s: float) -> None:
    while True:
        await asyncio.get_running_loop().run_in_executor(thread, lease.step)
        await asyncio.sleep(step_s)
