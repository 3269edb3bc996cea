"""What arrives, as a table that SQL can join with what is there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import duckdb

from gpucost_aggregator.store.rows import AgentId
from gpucost_aggregator.store.slice_columns import NULLABLE_COLUMNS, Array, texts


def same(columns: Iterable[str]) -> str:
    """That *columns* are the same in s, the store, and in a, what arrives; NULL is the same as NULL."""
    return " AND ".join(
        f"s.{name} IS NOT DISTINCT FROM a.{name}" if name in NULLABLE_COLUMNS else f"s.{name} = a.{name}"
        for name in columns
    )


@contextmanager
def arriving(
    connection: duckdb.DuckDBPyConnection, columns: Mapping[str, Array], name: str = "arriving"
) -> Iterator[None]:
    """*columns* as the table *name*, while it is needed."""
    connection.register(name, columns)
    yield
    # Not where the body failed: an aborted transaction takes no more statements, and rolling it back is enough.
    connection.unregister(name)


def agent_columns(agents: Sequence[AgentId]) -> dict[str, Array]:
    """Whose, as columns."""
    return {
        "cluster": texts([agent.node.cluster for agent in agents]),
        "node": texts([agent.node.node for agent in agents]),
        "epoch": texts([agent.epoch for agent in agents]),
    }
