"""The oracle: what must be true when everything has come to rest, told by SQL on the source and nothing of the engine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
from psycopg.sql import SQL, Identifier

from cdc.catalog import Table, read_tables
from cdc.connector import source_dsn
from config.settings import Settings
from projectors.checkpoint import lsn_text, lsn_value
from projectors.verification.comparing import Verdict
from stack import state, verification
from stack.churn import Ledger
from stack.errors import ComponentFailed

_LOOK_S = 0.05
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """One mirrored table against its source, rows counted as often as they are there."""

    table: str
    rows: int  #: in the source
    missing: int  #: in the source and not in the mirror
    unexpected: int  #: in the mirror and not in the source


@dataclass(frozen=True, slots=True)
class Judgement:
    """Everything that is wrong; nothing, if ``wrong`` is 0."""

    models: tuple[Verdict, ...]
    tables: tuple[Comparison, ...]
    lost: int  #: acknowledged writes that the source does not hold
    doubled: int  #: writes that it holds more than once
    phantom: int  #: writes that it holds though they were refused, or nobody asked for them

    @property
    def differences(self) -> int:
        """Rows of read models and of the mirror that are not what the source says."""
        models = sum(verdict.differences for verdict in self.models)
        return models + sum(table.missing + table.unexpected for table in self.tables)

    @property
    def wrong(self) -> int:
        """All of it."""
        return self.differences + self.lost + self.doubled + self.phantom


def await_stores(settings: Settings, timeout_s: float) -> None:
    """Wait until every component is healthy and both stores hold what the source holds now. Raises ComponentFailed."""
    deadline = time.monotonic() + timeout_s
    wanted: int | None = None
    behind = "nothing answers"
    while time.monotonic() < deadline:
        told = state.read(settings.data_dir)
        if told is not None and told.state == "failed":
            raise ComponentFailed(told.error)
        if told is not None and told.state == "healthy":
            try:
                wanted = wanted if wanted is not None else _source_position(settings)
                positions = {"serving": _serving_position(settings), "analytics": analytics_position(settings)}
                if all(position >= wanted for position in positions.values()):
                    return
                behind = f"{lsn_text(wanted)} is awaited; " + ", ".join(
                    f"{name} is at {lsn_text(position)}" for name, position in positions.items()
                )
            except (psycopg.OperationalError, httpx.HTTPError) as exc:
                behind = f"{type(exc).__name__} while asking where the stores are"
        elif told is not None:
            behind = ", ".join(f"{each.name} is {each.state}" for each in told.components if each.state != "healthy")
        time.sleep(_LOOK_S)
    told = state.read(settings.data_dir)
    raise ComponentFailed(
        f"not recovered after {timeout_s:.0f} s: {behind}; {told.error if told else ''}\n"
        f"the logs are in {settings.data_dir / 'logs'}"
    )


def orders_of(settings: Settings) -> frozenset[str]:
    """The ids of the orders that the source holds."""
    with psycopg.connect(source_dsn(settings)) as source:
        return frozenset(str(id) for (id,) in source.execute("select id from orders"))


def judge(
    settings: Settings,
    ledger: Ledger,
    acknowledged: Mapping[str, Collection[str]],
    unanswered: int,
    earlier: frozenset[str],
) -> Judgement:
    """Judge a stack at rest. ``acknowledged``: ids by table that the writer's answers named; ``unanswered``: requests
    of which nobody knows whether they were carried out; ``earlier``: orders that were there before."""
    with psycopg.connect(source_dsn(settings)) as source:
        titles = Counter[str](
            dict(
                source.execute(
                    "select title, count(*) from posts where title like 'ledger %' group by title"
                ).fetchall()
            )
        )
        lost = len(ledger.acknowledged - titles.keys())
        phantom = len(titles.keys() & ledger.refused)
        for table, ids in acknowledged.items():
            there = {str(row[0]) for row in source.execute(SQL("select id from {}").format(Identifier(table)))}
            lost += len(set(ids) - there)
            if table == "orders":  # nobody else makes them meanwhile
                phantom += max(0, len(there - earlier - set(ids)) - unanswered)
    return Judgement(
        models=tuple(verification.verdicts_of(settings)),
        tables=tuple(compare_mirror(settings)),
        lost=lost,
        doubled=sum(count - 1 for count in titles.values()),
        phantom=phantom,
    )


def compare_mirror(settings: Settings) -> list[Comparison]:
    """Every mirrored table against the source's, row by row."""
    assert settings.queries_dsn is not None
    tables = read_tables(source_dsn(settings), settings.publication, settings.tables)
    with (
        psycopg.connect(source_dsn(settings)) as source,
        psycopg.connect(settings.queries_dsn.get_secret_value()) as serving,
    ):
        return [_compared(source, serving, table) for table in tables]


def _compared(source: psycopg.Connection[Any], serving: psycopg.Connection[Any], table: Table) -> Comparison:
    columns = SQL(", ").join(Identifier(column.name) for column in table.columns)
    query = SQL("select md5(row({})::text) as row, count(*) from {} group by 1")
    expected = Counter[str](
        dict(source.execute(query.format(columns, Identifier(table.schema, table.name))).fetchall())
    )
    stored = Counter[str](dict(serving.execute(query.format(columns, Identifier("mirror", table.mirror))).fetchall()))
    return Comparison(table.qualified, expected.total(), (expected - stored).total(), (stored - expected).total())


def _source_position(settings: Settings) -> int:
    with psycopg.connect(source_dsn(settings), connect_timeout=5) as source:
        row = source.execute("select pg_current_wal_insert_lsn()::text").fetchone()
    assert row is not None
    return lsn_value(row[0])


def _serving_position(settings: Settings) -> int:
    assert settings.queries_dsn is not None
    with psycopg.connect(settings.queries_dsn.get_secret_value(), connect_timeout=5) as serving:
        row = serving.execute("select end_lsn::text from readside.checkpoint where store = 'serving'").fetchone()
    return lsn_value(row[0]) if row else 0


def analytics_position(settings: Settings) -> int:
    """Where the analytics store stands. Raises httpx.HTTPError when its projector does not answer."""
    response = httpx.get(f"http://{settings.analytics_address}/state", timeout=_TIMEOUT_S, trust_env=False)
    response.raise_for_status()
    return lsn_value(response.json()["end_lsn"])
