"""Pushes of changed keys: while somebody watches a read model, each commit names the keys of the rows that it changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Any

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Literal

from projectors.read_model import ReadModel
from projectors.serving.relation import Relation

Connection = psycopg.Connection[Any]

CHANNEL = "readside_changed"
LOOK_S = 0.5  #: between two looks for who is watched
_MOST = 1_000  # keys that are named of one commit; of more only that there were
_TOGETHER = 50  # keys in a notification, whose payload may have 8,000 bytes
_BYTES = 7_900


class Pushes:
    """Which read models are watched. Called by the thread that owns the store."""

    def __init__(self, transaction: Callable[[], AbstractContextManager[None]]) -> None:
        """``transaction``: opens a fenced one of the store."""
        self._transaction = transaction
        self._looked_at = 0.0
        self.models: frozenset[str] = frozenset()

    def begin(self, connection: Connection) -> None:
        """A store is opened: whoever was told that keys are named misses no commit."""
        self.models = frozenset(_watched(connection))

    def look(self, connection: Connection) -> bool:
        """Whether others are watched than before, or have to be told; looks no more often than LOOK_S."""
        if time.monotonic() - self._looked_at < LOOK_S:
            return False
        self._looked_at = time.monotonic()
        watched = _watched(connection)
        before, self.models = self.models, frozenset(watched)
        return self.models != before or not all(watched.values())

    def told(self, connection: Connection) -> None:
        """Note that keys of these are named from the next commit on."""
        if self.models:
            with self._transaction():
                connection.execute(
                    "update readside.watched set since = coalesce(since, clock_timestamp()) where model = any(%(models)s)",
                    {"models": sorted(self.models)},
                )


def _watched(connection: Connection) -> dict[str, bool]:
    """By read model, whether those who watch it were told that its keys are named."""
    rows = connection.execute("select model, since is not null from readside.watched where until > now()").fetchall()
    return dict(rows)


def push_statement(model: ReadModel, relation: Relation) -> Composed:
    """Names the keys of which a batch changed the rows, in as many notifications as it takes; null for very many."""
    return SQL("""
        with changed_keys as (select distinct {key} as key from {changed} limit {most} + 1),
             payload as (
                select jsonb_agg(key) as keys
                  from (select key, (row_number() over () - 1) / {together} as part from changed_keys) n
                 where (select count(*) from changed_keys) <= {most}
                 group by part
                 union all
                select null where (select count(*) from changed_keys) > {most}),
             message as (select jsonb_build_object('model', {name}::text, 'keys', keys)::text as text from payload)
        select pg_notify({channel}, case when octet_length(text) <= {bytes} then text
                                         else jsonb_build_object('model', {name}::text, 'keys', null)::text end)
          from message
    """).format(
        key=SQL("jsonb_build_array({})").format(
            SQL(", ").join(SQL("{}::text").format(Identifier(name)) for name in model.key)
        ),
        changed=relation.changed,
        most=Literal(_MOST),
        together=Literal(_TOGETHER),
        name=Literal(model.name),
        channel=Literal(CHANNEL),
        bytes=Literal(_BYTES),
    )


def announce(connection: Connection, names: Collection[str]) -> None:
    """Tell who watches one of these that any of its rows may have changed."""
    connection.execute(
        """
        select pg_notify(%(channel)s, jsonb_build_object('model', model, 'keys', null)::text)
          from readside.watched
         where model = any(%(names)s) and until > now()
        """,
        {"channel": CHANNEL, "names": list(names)},
    )


def watched_references(models: Collection[str]) -> frozenset[str]:
    """As declarations name them."""
    return frozenset(f"read_models.{name}" for name in models)
