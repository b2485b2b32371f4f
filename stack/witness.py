"""Reads the serving store all the while, as a user's screen would, and looks for what must never be seen."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import psycopg

from config.settings import Settings
from projectors.checkpoint import lsn_value

_INTERVAL_S = 0.02
_RECONNECT_S = 0.2

#: One statement, one moment: the newest orders and their documents, the position, and since when the server runs.
_LOOK = """
    with latest as (
        select id, version, subtotal, total
          from mirror.orders
         order by id desc
         limit 100),
         seen as (
        select o.id, o.version, o.total, d.document, i.lines, i.amount
          from latest o
          left join read_models.order_details d on d.id = o.id
         cross join lateral (
            select count(*) as lines, sum(unit_price * quantity) as amount
              from mirror.order_items i
             where i.order_id = o.id) i)
    select c.end_lsn::text, pg_postmaster_start_time()::text,
           (select coalesce(array_agg(s.id), '{}')
              from seen s
             where s.document is null
                or s.lines = 0
                or s.lines <> jsonb_array_length(s.document->'items')
                or (s.document->>'version')::bigint <> s.version
                or s.document->'payment' is null
                or (s.document->>'total')::numeric
                   <> s.amount + (s.document->>'tax')::numeric + (s.document->>'shipping_cost')::numeric
                or (s.document->>'total')::numeric <> s.total) as torn
      from readside.checkpoint c
     where c.store = 'serving'
"""


@dataclass(slots=True)
class Sight:
    """What was seen."""

    looks: int = 0
    torn: set[int] = field(default_factory=set[int])  #: orders seen without all of their parts
    backwards: int = 0  #: times the position was lower than before, on one and the same server
    rewound: int = 0  #: times it was lower behind a crash of the server, which may forget what it has not flushed


class Looker:
    """A reader in a thread of its own; ``start``, then ``stop``. Where it looks, and for what, its kinds say."""

    def __init__(self) -> None:
        self._sight = Sight()
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> Sight:
        """End it. Raises what went wrong with looking."""
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._sight

    def _run(self) -> None:
        try:
            self._look_on()
        except BaseException as exc:
            self._failure = exc

    def _look_on(self) -> None:
        """Look until it is to stop."""
        raise NotImplementedError


class Witness(Looker):
    """Looks at the serving store."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        assert settings.queries_dsn is not None
        self._dsn = settings.queries_dsn.get_secret_value()
        self._last: tuple[str, int] = ("", 0)  # the server's start, the position

    def _look_on(self) -> None:
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._dsn, autocommit=True, connect_timeout=5) as connection:
                    while not self._stop.wait(_INTERVAL_S):
                        self._look(connection)
            except psycopg.OperationalError:
                self._stop.wait(_RECONNECT_S)

    def _look(self, connection: psycopg.Connection[tuple[str, str, list[int]]]) -> None:
        row = connection.execute(_LOOK).fetchone()
        if row is None:
            return
        position, server, torn = lsn_value(row[0]), row[1], row[2]
        self._sight.looks += 1
        self._sight.torn.update(torn)
        last_server, last = self._last
        if position < last:
            if server == last_server:
                self._sight.backwards += 1
            else:
                self._sight.rewound += 1
        self._last = (server, position)
