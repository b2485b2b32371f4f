"""The serving store's life: taken over by one projector, loaded once, then moved batch by batch.

``_transaction`` opens every store transaction and fences it; nothing else here commits.
"""

from __future__ import annotations

import importlib.resources
import json
import logging
import time
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, LiteralString, cast

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL

from cdc.assembler import Transaction
from cdc.catalog import Table
from cdc.change import Change
from cdc.errors import Fatal, Fenced, Transient
from projectors.batch import Segment, TableChanges, net_changes
from projectors.checkpoint import Checkpoint, lsn_text, lsn_value
from projectors.read_model import Declarations
from projectors.serving.mirror import mirror_name
from projectors.serving.schema import prepare_declared, prepare_mirror, prepare_mirror_indexes
from projectors.serving.statements import MOVE, PRUNE, REMEMBER, REQUIRE_EPOCH, Statements

logger = logging.getLogger(__name__)

STORE = "serving"

_PRUNE_INTERVAL_S = 10.0
_REMEMBERED_PER_BATCH = 1_000
_BATCHES_PER_TRUNCATE = 1_000
_NAMED_PER_BATCH = 500
_FEW_CHANGES = 500
_CHANGES_PER_SEGMENT = 20_000


class ServingStore:
    """``Store`` in PostgreSQL."""

    def __init__(self, dsn: str, tables: Sequence[Table], declarations: Declarations) -> None:
        """``dsn`` as a role that owns the store's schemas; ``tables``: the captured ones, all of them are mirrored."""
        self._dsn = dsn
        self._tables = {table.qualified: table for table in tables}
        self._declarations = declarations
        self._histories = {
            table.qualified: [h for h in declarations.histories if h.of == table.name] for table in tables
        }
        self._with_history = frozenset(name for name, histories in self._histories.items() if histories)
        self._pruned_at = 0.0
        self._batches = 0
        self._prepared = True  # whether statements are planned once, for few rows

    @property
    def tables(self) -> frozenset[str]:
        """See Store."""
        return frozenset(self._tables)

    def open(self) -> Checkpoint:
        """See Store. Read models whose declaration is new or changed are built from the mirror before this returns."""
        with _translated():
            self._connection = psycopg.connect(
                self._dsn,
                autocommit=True,
                application_name="readside projector serving",
                # The checkpoint is lost together with the rows it speaks of, so a crash only means reading on from
                # an earlier place. Plans are made once and for few rows: a batch's own tables have no statistics.
                options="-c synchronous_commit=off -c jit=off -c random_page_cost=1.1 -c plan_cache_mode=force_generic_plan"
                " -c enable_hashjoin=off -c enable_mergejoin=off"
                # A first load waits for Kafka inside its transaction.
                " -c idle_in_transaction_session_timeout=0",
            )
            self._connection.prepared_max = None
            self._epoch = self._take_over()
            checkpoint = self._read_checkpoint()
            with self._transaction(pipelined=False, many_rows=True):
                tables = list(self._tables.values())
                prepare_mirror(self._connection, tables)
                prepare_mirror_indexes(self._connection, self._declarations)
                made = prepare_declared(self._connection, tables, self._declarations)
                self._statements = Statements(self._connection, tables, self._declarations)
                if checkpoint.phase == "streaming":
                    self._build(made, checkpoint)
            for name in self._statements.kept:
                self._connection.execute(self._statements.relations[name].create_changed())
            return checkpoint

    def load(self, changes: Iterable[Sequence[Change]], checkpoint: Callable[[], Checkpoint]) -> None:
        """See Store."""
        with self._transaction(pipelined=False, many_rows=True):
            for table in self._tables.values():
                self._connection.execute(SQL("truncate {}").format(mirror_name(table)))
            for rows in changes:
                self._load_rows(rows)
            position = checkpoint()
            declared = (*self._declarations.histories, *self._statements.maintained)
            self._build({one.name for one in declared}, position)
            self._move(position)

    def apply(self, transactions: Sequence[Transaction], checkpoint: Checkpoint) -> None:
        """See Store."""
        many_rows = sum(len(transaction.changes) for transaction in transactions) > _FEW_CHANGES
        touched: set[str] = set()
        # Pipelined statements would pile up on this side, so a large transaction is sent one segment after the other.
        with self._transaction(pipelined=not many_rows, many_rows=many_rows):
            for segment in net_changes(transactions, self._with_history, _CHANGES_PER_SEGMENT):
                self._apply_segment(segment)
                touched.update(segment)
            changed = {self._tables[name].name for name in touched}
            for declared in self._statements.maintained:
                if not changed.isdisjoint(declared.sources):
                    self._execute(self._statements.refresh(declared, changed))
                    changed.add(declared.reference)
            self._forget(changed)
            self._remember(transactions)
            self._move(checkpoint, transactions)

    def close(self) -> None:
        """See Store."""
        self._connection.close()

    def _apply_segment(self, segment: Segment) -> None:
        for name, changes in segment.items():
            statements = self._statements.mirror[name]
            self._append_histories(name, changes)
            if changes.truncated:
                self._run(("truncate", name), statements.truncate)
            # Rows that take columns from the stored row of another key need it before it is deleted.
            rows = [row for row in changes.rows.values() if row is not None]
            if partial := [b'{"base":%b,"row":%b}' % (r.base, r.columns) for r in rows if r.base is not None]:
                self._run(("merge", name), statements.merge, partial)
            if whole := [row.columns for row in rows if row.base is None]:
                self._run(("replace", name), statements.replace, whole)
            if gone := [key for key, row in changes.rows.items() if row is None]:
                self._run(("delete", name), statements.delete, gone)

    def _forget(self, changed: Collection[str]) -> None:
        # Deleted, not ON COMMIT DELETE ROWS: that truncates the files of every such table at each commit, 5 ms for
        # fifteen. What deletes leave behind is pruned as the pages are used again, and truncated now and then.
        self._batches += 1
        relations = self._statements.relations
        for name in self._statements.kept.intersection(changed):
            self._execute(self._statements.render(("forget", name), relations[name].forget))
        if self._batches % _BATCHES_PER_TRUNCATE == 0:
            for name in self._statements.kept:
                self._execute(SQL("truncate {}").format(relations[name].changed).as_bytes(self._connection))

    def _append_histories(self, name: str, changes: TableChanges) -> None:
        if not changes.versions:
            return
        versions = [
            b'{"key":%b,"base":%b,"row":%b,"end_lsn":"%b","place":%d,"at_us":%d}'
            % (
                version.key,
                (version.row.base if version.row else None) or b"null",
                version.row.columns if version.row else b"null",
                lsn_text(version.end_lsn).encode(),
                version.place,
                version.committed_us,
            )
            for version in changes.versions
        ]
        for history in self._histories[name]:
            self._execute(self._statements.history(history), {"rows": _array(versions)})

    def _load_rows(self, rows: Sequence[Change]) -> None:
        by_table: dict[str, dict[bytes, bytes]] = {}
        for change in rows:
            assert change.key is not None and change.row is not None
            by_table.setdefault(change.table, {})[change.key] = change.row
        for name, images in by_table.items():
            self._run(("load", name), self._statements.mirror[name].load, list(images.values()))

    def _remember(self, transactions: Sequence[Transaction]) -> None:
        latest = transactions[-_REMEMBERED_PER_BATCH:]
        by_xid = {transaction.xid: lsn_text(transaction.end_lsn) for transaction in latest}
        self._execute(REMEMBER, {"xids": list(by_xid), "lsns": list(by_xid.values())})
        if time.monotonic() - self._pruned_at > _PRUNE_INTERVAL_S:
            self._execute(PRUNE)
            self._pruned_at = time.monotonic()

    def _move(self, checkpoint: Checkpoint, transactions: Sequence[Transaction] = ()) -> None:
        # Named to the listeners as far as a notification's 8,000 bytes go; unnamed, they look themselves.
        few = 0 < len(transactions) <= _NAMED_PER_BATCH
        named = " " + ",".join(str(transaction.xid) for transaction in transactions) if few else ""
        self._execute(
            MOVE,
            {
                "store": STORE,
                "phase": checkpoint.phase,
                "end_lsn": lsn_text(checkpoint.end_lsn),
                "committed_at": checkpoint.committed_at,
                "changes": checkpoint.changes,
                "rate": checkpoint.rate,
                "state": json.dumps(checkpoint.state),
                "named": named,
            },
        )

    def _run(self, key: tuple[str, ...], statement: Any, rows: Sequence[bytes] | None = None) -> None:
        query = self._statements.render(key, lambda: statement)
        self._execute(query, None if rows is None else {"rows": _array(rows)})

    def _execute(self, query: LiteralString | bytes, parameters: dict[str, Any] | None = None) -> None:
        self._connection.execute(query, parameters, prepare=self._prepared)

    @contextmanager
    def _transaction(self, *, pipelined: bool = True, many_rows: bool = False) -> Generator[None]:
        # Pipelined, everything is one network round trip: the fence first, the commit last. Connection.transaction()
        # would wait for the server at both ends. A failed connection is of no more use: whoever runs on opens another.
        try:
            with _translated(), self._connection.pipeline() if pipelined else nullcontext():
                self._execute("begin")
                self._execute(REQUIRE_EPOCH, {"store": STORE, "epoch": self._epoch})
                self._prepared = not many_rows
                if many_rows:
                    self._execute("set local enable_hashjoin = on")
                    self._execute("set local enable_mergejoin = on")
                yield
                self._execute("commit")
        except BaseException:
            self._connection.close()
            raise

    def _take_over(self) -> int:
        schema = (importlib.resources.files("projectors.serving") / "schema.sql").read_text()
        with self._connection.transaction():
            self._connection.execute("select pg_advisory_xact_lock(hashtext('readside schema'))")
            self._connection.execute(cast("LiteralString", schema))
            row = self._connection.execute(
                """
                insert into readside.checkpoint as c
                       (store, epoch, phase, end_lsn, applied_at, changes, rate, state)
                values (%(store)s, 1, 'snapshot', '0/0', now(), 0, 0, '{}')
                on conflict (store) do update set epoch = c.epoch + 1
                returning epoch
                """,
                {"store": STORE},
            ).fetchone()
        assert row is not None
        return row[0]

    def _read_checkpoint(self) -> Checkpoint:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(
                """
                select phase, end_lsn::text as end_lsn, (extract(epoch from committed_at) * 1000000)::bigint as committed_us,
                       changes, rate, state
                  from readside.checkpoint
                 where store = %(store)s
                """,
                {"store": STORE},
            ).fetchone()
        assert row is not None
        position: dict[str, Any] = row | {"end_lsn": lsn_value(row["end_lsn"])}
        return Checkpoint(**position)

    def _build(self, names: Collection[str], checkpoint: Checkpoint) -> None:
        at = {"end_lsn": lsn_text(checkpoint.end_lsn), "at": checkpoint.committed_at}
        for history in self._declarations.histories:
            if history.name in names:
                self._execute(self._statements.history_of_snapshot(history), at)
        for declared in self._statements.maintained:
            if declared.name in names:
                logger.info("building a read model", extra={"action": "model_build", "model": declared.name})
                self._execute(self._statements.build(declared))


def _array(rows: Sequence[bytes]) -> str:
    return (b"[" + b",".join(rows) + b"]").decode()


@contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except psycopg.OperationalError as exc:
        raise Transient(f"the serving store does not answer: {type(exc).__name__}") from exc
    except psycopg.Error as exc:
        if exc.sqlstate == "RS001":
            raise Fenced("another projector has taken the serving store over; this one stops") from exc
        raise Fatal(f"the serving store refused: {exc.diag.message_primary} ({exc.sqlstate})") from exc
