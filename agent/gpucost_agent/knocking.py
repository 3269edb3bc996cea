"""Whether the aggregator lets this agent in, without a word: no stream begins, and nobody's place is taken."""

import grpc
from gpucost.trouble import Retry
from gpucost.v1.stream_pb2_grpc import CostStreamStub

from gpucost_agent.stream import Target, open_channel, worded
from gpucost_agent.token_file import token_metadata


def knock(target: Target, wait_s: float) -> None:
    """
    Show *target* who calls, as a stream does; blocks for *wait_s* twice at most.

    Raises:
        Retry: What answers there is no aggregator, it turns this agent away, or the token can not be read.
    """
    metadata = token_metadata(target.token_file)
    with open_channel(target) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=wait_s)
        except grpc.FutureTimeoutError:
            raise Retry(
                f"{target.address} answers, and not as the aggregator's gRPC port would: look at port and TLS"
            ) from None
        stub = CostStreamStub(channel)  # type: ignore[no-untyped-call]  # generated
        try:
            # Who calls is asked before the first message, and a call without one is over then.
            for _ in stub.Connect(iter(()), timeout=wait_s, metadata=metadata):
                pass
        except grpc.RpcError as refusal:
            raise Retry(f"{target.address} turns this agent away: {worded(refusal)}") from None
