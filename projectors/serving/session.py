"""The session in which a projector writes to the serving store."""

from __future__ import annotations

from typing import Any

import psycopg

_OPTIONS = (
    # The checkpoint is lost together with the rows it speaks of, so a crash only means reading on from an earlier place.
    "synchronous_commit=off",
    # Plans are made once and for few rows: a batch's own tables have no statistics.
    "jit=off",
    "random_page_cost=1.1",
    "plan_cache_mode=force_generic_plan",
    "enable_hashjoin=off",
    "enable_mergejoin=off",
    # A first load waits for Kafka inside its transaction.
    "idle_in_transaction_session_timeout=0",
    # What a query makes a text of, a time above all, is the same whoever computes it: batch, rebuild or verification.
    "timezone=UTC",
    "datestyle=ISO,MDY",
    "intervalstyle=postgres",
    # Values of type money come as the source holds them under this setting (cdc/connector.toml).
    "lc_monetary=C",
)


def connected(dsn: str) -> psycopg.Connection[Any]:
    """A new session."""
    connection = psycopg.connect(
        dsn,
        autocommit=True,
        application_name="readside projector serving",
        options=" -c ".join(("", *_OPTIONS)).strip(),
    )
    connection.prepared_max = None
    return connection
