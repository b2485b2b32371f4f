"""The analytics store's life: one DuckDB file, one process, one writing thread; the same exactness as the serving store's.

``_transaction`` opens every transaction that writes; nothing else here commits.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from cdc.assembler import Transaction
from cdc.catalog import Table
from cdc.change import Change
from cdc.errors import Fatal
from projectors.analytics.mirror import MirrorSql, literal, mirror_sql, quoted
from projectors.batch import Row, net_changes
from projectors.checkpoint import START, Checkpoint, lsn_text, lsn_value
from projectors.read_model import Declarations, ReadModel

logger = logging.getLogger(__name__)

_CHANGES_PER_SEGMENT = 20_000

_SCHEMA = """
    create schema if not exists readside;
    create schema if not exists mirror;
    create table if not exists readside.checkpoint (
        phase varchar not null, end_lsn varchar not null, committed_us bigint, changes bigint not null,
        rate double not null, state varchar not null);
    create table if not exists readside.declared (name varchar not null, fingerprint varchar not null);
    create or replace view _readside as
    select make_timestamptz(committed_us) as as_of, end_lsn, state::json->'frontier' as kafka_offsets
      from readside.checkpoint;
    comment on view _readside is 'Where this store stands: the last source transaction, and what is read of Kafka.';
"""


class AnalyticsStore:
    """``Store`` in DuckDB. Other threads read through ``cursor()`` and wait with ``wait_for()``."""

    def __init__(self, path: Path, tables: Sequence[Table], declarations: Declarations, *, memory_limit: str) -> None:
        """``path``: the file, made if missing; of ``tables`` those that ``declarations`` read are mirrored."""
        self._path = path
        self._tables = {t.qualified: t for t in tables if t.mirror in declarations.tables}
        self._models = declarations.read_models
        self._memory_limit = memory_limit
        self._moved = threading.Condition()
        self.checkpoint: Checkpoint = START

    @property
    def tables(self) -> frozenset[str]:
        """See Store."""
        return frozenset(self._tables)

    def open(self) -> Checkpoint:
        """See Store. Raises Fatal when another process holds the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Nothing in this process reads or writes any other file, and no statement can change that.
            self._connection = duckdb.connect(
                str(self._path),
                config={
                    "enable_external_access": "false",
                    "memory_limit": self._memory_limit,
                    "threads": "1",  # a second one would take both cores of a small machine from the screens
                    "checkpoint_threshold": "64MB",
                    "preserve_insertion_order": "false",
                },
            )
        except duckdb.IOException as exc:
            raise Fatal(f"DuckDB cannot open {self._path.name}: {str(exc).partition(chr(10))[0]}") from exc
        self._connection.execute("set timezone = 'UTC'")
        self._connection.execute("set lock_configuration = true")
        with self._transaction():
            self._connection.execute(_SCHEMA)
            self._sql: dict[str, MirrorSql] = {name: mirror_sql(table) for name, table in self._tables.items()}
            for sql in self._sql.values():
                self._connection.execute(sql.create)
            self.checkpoint = self._read_checkpoint()
            made = self._prepare_models()
            if self.checkpoint.phase == "streaming":
                self._build(made)
        return self.checkpoint

    def load(self, changes: Iterable[Sequence[Change]], checkpoint: Callable[[], Checkpoint]) -> None:
        """See Store."""
        with self._transaction():
            for sql in self._sql.values():
                self._connection.execute(sql.clear)
            for rows in changes:
                self._load_rows(rows)
            position = checkpoint()
            self._build({model.name for model in self._models})
            self._move(position)
        self._announce(position)

    def apply(self, transactions: Sequence[Transaction], checkpoint: Checkpoint) -> None:
        """See Store."""
        touched: dict[str, None] = {}
        with self._transaction():
            for segment in net_changes(transactions, (), _CHANGES_PER_SEGMENT):
                for name, changes in segment.items():
                    if name not in touched:
                        self._connection.execute(self._sql[name].create_changed)
                        touched[name] = None
                    self._apply_table(self._sql[name], changes.truncated, changes.rows)
            for model in self._models:
                sources = {
                    n: f"temp.{quoted('changed_' + n)}" for n in map(self._name, touched) if n in model.affected_by
                }
                if sources:
                    self._refresh(model, sources)
            self._move(checkpoint)
        self._announce(checkpoint)

    def close(self) -> None:
        """See Store."""
        self._connection.close()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own for a reading thread."""
        return self._connection.cursor()

    def wait_for(self, end_lsn: int, timeout_s: float) -> bool:
        """Wait until the store has reached a position; False when it has not in time."""
        with self._moved:
            return self._moved.wait_for(lambda: self.checkpoint.end_lsn >= end_lsn, timeout_s)

    def _apply_table(self, sql: MirrorSql, truncated: bool, rows: dict[bytes, Row | None]) -> None:
        if truncated:
            self._run(sql.remember_all, sql.clear)
        written = [row for row in rows.values() if row is not None]
        if written:
            self._incoming([row.columns for row in written], [row.base for row in written])
            self._run(sql.stage, sql.remember_old, sql.remember_new, sql.delete, sql.insert)
        if gone := [key for key, row in rows.items() if row is None]:
            self._incoming(gone, [None] * len(gone))
            self._run(sql.stage_keys, sql.remember_old, sql.delete)

    def _load_rows(self, rows: Sequence[Change]) -> None:
        by_table: dict[str, dict[bytes, bytes]] = {}
        for change in rows:
            assert change.key is not None and change.row is not None
            by_table.setdefault(change.table, {})[change.key] = change.row
        for name, images in by_table.items():
            self._incoming(list(images.values()), [None] * len(images))
            self._run(self._sql[name].stage, self._sql[name].delete, self._sql[name].insert)

    def _incoming(self, rows: Sequence[bytes], bases: Sequence[bytes | None]) -> None:
        # DuckDB reads JSON text from Arrow without a Python object per value.
        table = pa.table(
            {
                "row": pa.array(rows, pa.binary()).cast(pa.string()),
                "base": pa.array(bases, pa.binary()).cast(pa.string()),
            }
        )
        self._connection.register("incoming", table)

    def _refresh(self, model: ReadModel, sources: dict[str, str]) -> None:
        keys = " union all ".join(
            f"select * from (with changed as (select * from {relation}) {keys})"
            for relation, keys in ((sources[t], keys) for t, keys in model.affected_by.items() if t in sources)
        )
        names = ", ".join(quoted(name) for name in model.key)
        columns = ", ".join(quoted(name) for name in self._columns[model.name])
        same = " and ".join(f"t.{quoted(name)} = a.{quoted(name)}" for name in model.key)
        target = f"main.{quoted(model.name)}"
        self._run(
            f"create or replace temporary table affected as select distinct * from ({keys}) as keys({names})",
            f"create or replace temporary table fresh as {model.query}",
            f"delete from {target} t using affected a where {same}",
            f"insert into {target} ({columns}) select {columns} from fresh",
        )

    def _build(self, names: Collection[str]) -> None:
        for model in self._models:
            if model.name in names:
                logger.info("building a read model", extra={"action": "model_build", "model": model.name})
                self._refresh(model, {table: f"mirror.{quoted(table)}" for table in model.affected_by})

    def _prepare_models(self) -> frozenset[str]:
        built = dict(self._connection.execute("select name, fingerprint from readside.declared").fetchall())
        made = [model for model in self._models if built.get(model.name) != model.fingerprint]
        for model in made:
            name = quoted(model.name)
            self._connection.execute(f"drop table if exists main.{name}")
            self._connection.execute(f"create table main.{name} ({model.columns})")
            self._connection.execute(f"comment on table main.{name} is {literal(model.comment)}")
            self._connection.execute("delete from readside.declared where name = $name", {"name": model.name})
            self._connection.execute(
                "insert into readside.declared (name, fingerprint) values ($name, $fingerprint)",
                {"name": model.name, "fingerprint": model.fingerprint},
            )
        self._columns: dict[str, list[str]] = {
            model.name: [
                row[0]
                for row in self._connection.execute(
                    "select column_name from duckdb_columns() where schema_name = 'main' and table_name = $name "
                    "order by column_index",
                    {"name": model.name},
                ).fetchall()
            ]
            for model in self._models
        }
        return frozenset(model.name for model in made)

    def _read_checkpoint(self) -> Checkpoint:
        row = self._connection.execute(
            "select phase, end_lsn, committed_us, changes, rate, state from readside.checkpoint"
        ).fetchone()
        if row is None:
            return START
        phase, end_lsn, committed_us, changes, rate, state = row
        return Checkpoint(
            phase=phase,
            end_lsn=lsn_value(end_lsn),
            committed_us=committed_us,
            changes=changes,
            rate=rate,
            state=json.loads(state),
        )

    def _move(self, checkpoint: Checkpoint) -> None:
        self._connection.execute("delete from readside.checkpoint")
        self._connection.execute(
            """
            insert into readside.checkpoint (phase, end_lsn, committed_us, changes, rate, state)
            values ($phase, $end_lsn, $committed_us, $changes, $rate, $state)
            """,
            {
                "phase": checkpoint.phase,
                "end_lsn": lsn_text(checkpoint.end_lsn),
                "committed_us": checkpoint.committed_us,
                "changes": checkpoint.changes,
                "rate": checkpoint.rate,
                "state": json.dumps(checkpoint.state),
            },
        )

    def _announce(self, checkpoint: Checkpoint) -> None:
        with self._moved:
            self.checkpoint = checkpoint
            self._moved.notify_all()

    def _run(self, *statements: str) -> None:
        for statement in statements:
            self._connection.execute(statement)

    def _name(self, qualified: str) -> str:
        return self._tables[qualified].mirror

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._connection.execute("begin transaction")
        try:
            yield
        except BaseException as exc:
            self._connection.execute("rollback")
            if isinstance(exc, duckdb.Error):
                raise Fatal(f"the analytics store refused: {str(exc).partition(chr(10))[0]}") from exc
            raise
        self._connection.execute("commit")
