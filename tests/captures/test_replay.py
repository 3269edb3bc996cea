"""What earlier versions said on the wire is understood by today's programs, to the last field."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.protobuf import text_format
from gpucost import __version__
from gpucost.cluster_wire import cluster_facts_from_message
from gpucost.cost_slice import COLUMNS, CostSlice
from gpucost.v1 import stream_pb2
from gpucost.wire import batch_from_message, table_from_bytes

from captures.conversation import AGENT, unframed
from contracts.agent_peer import a_peer
from contracts.serving_streams import Served
from gpucost_aggregator.ingest.greeting import read_hello

RELEASES = sorted(
    path for path in Path(__file__).parent.iterdir() if path.is_dir() and path.name[:1].isdigit()
)


def frames(release: Path, name: str) -> Iterator[bytes]:
    yield from unframed((release / f"{name}.frames").read_bytes())


def lines(rows: tuple[CostSlice, ...]) -> list[str]:
    return sorted(",".join(column(row) for column in COLUMNS.values()) for row in rows)


def test_this_version_was_captured() -> None:
    assert __version__ in [release.name for release in RELEASES], (
        "run `make capture`, and commit what it writes"
    )


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_what_an_agent_said_means_what_it_meant(release: Path, golden: Callable[[str, str], None]) -> None:
    told = []
    for data in frames(release, "agent"):
        message = stream_pb2.FromNode.FromString(data)
        kind = message.WhichOneof("message")
        if kind == "hello":
            told.append(f"{read_hello(message)}")
        elif kind == "batch":
            content = batch_from_message(message.batch, AGENT.node)
            told.append(
                f"batch {content.sequence_number} closes {content.closed_through_ns} {content.price_book_version}"
            )
            told += [*lines(content.slices), *map(str, (*content.workloads, *content.gpus))]
        elif kind == "live":
            window, unreadable = table_from_bytes(message.live.table.SerializeToString(), AGENT.node)
            assert unreadable == ()
            told += [f"live {message.live.taken_at_ns}", *lines(window.slices)]
        else:
            told.append(f"{kind}: {message.goodbye.reason} {message.goodbye.last_sequence_number}")
    golden(f"agent-{release.name}.txt", "\n".join(told) + "\n")


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_what_a_watcher_said_means_what_it_meant(release: Path, golden: Callable[[str, str], None]) -> None:
    hello, *facts = (stream_pb2.FromNode.FromString(data) for data in frames(release, "watcher"))
    told = [str(read_hello(hello)), *(str(cluster_facts_from_message(each.cluster_facts)) for each in facts)]
    golden(f"watcher-{release.name}.txt", "\n".join(told) + "\n")


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_what_an_aggregator_said_means_what_it_meant(
    release: Path, golden: Callable[[str, str], None]
) -> None:
    told = [
        text_format.MessageToString(stream_pb2.FromAggregator.FromString(data), as_one_line=True)
        for data in frames(release, "aggregator")
    ]
    golden(f"aggregator-{release.name}.txt", "\n".join(told) + "\n")


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_an_old_agents_stream_is_kept_and_acknowledged(release: Path, play: Callable[..., None]) -> None:
    said = [stream_pb2.FromNode.FromString(data) for data in frames(release, "agent")]
    batches = [message.batch for message in said if message.HasField("batch")]
    expected = [row for batch in batches for row in batch_from_message(batch, AGENT.node).slices]

    async def scene(served: Served) -> None:
        async with a_peer(served.address) as peer:
            await peer.greet(said[0].hello)
            for message in said[1:]:
                kind = message.WhichOneof("message")
                await peer.say(**{kind: getattr(message, kind)})
                if kind == "batch":
                    assert await peer.acknowledged(message.batch.sequence_number) == []
        assert lines(tuple(served.store.rows.values())) == lines(tuple(expected))

    assert expected
    play(scene)
