"""The captured tables as somebody at a terminal names them, also while the source does not answer."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import make_conninfo

from cdc.catalog import Column, read_tables, topic_of
from cdc.errors import ReadsideError
from config.settings import Settings
from queries.topics import bookkeeping
from stack.broker import topics
from stack.errors import StackError

_CONNECT_S = 2
_NAMED = 12  # tables that an error lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """One captured table. Where only its topic is known, as nobody asked the source, it has neither key nor columns."""

    qualified: str  #: schema.table
    topic: str
    mirror: str  #: its name in the stores' schema mirror
    key: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    whole: bool = False  #: its changes come with the whole old row (replica identity full), not only with its key

    @property
    def name(self) -> str:
        """Without its schema."""
        return self.qualified.partition(".")[2]


def captured(settings: Settings) -> tuple[Captured, ...]:
    """The captured tables by the source's catalogue, or by Kafka's topics where it does not answer. Raises StackError."""
    try:
        return _of_source(settings)
    except (psycopg.OperationalError, StackError) as exc:
        try:
            return _of_topics(settings)
        except ReadsideError:
            raise StackError(f"neither the source nor Kafka says which tables there are: {_said(exc)}") from exc
    except ReadsideError as exc:
        raise StackError(str(exc)) from exc


def _of_source(settings: Settings) -> tuple[Captured, ...]:
    if settings.source_dsn is None:
        raise StackError("READSIDE_SOURCE_DSN is not set; is the stack up? `readside status`")
    dsn = make_conninfo(settings.source_dsn.get_secret_value(), connect_timeout=_CONNECT_S)
    return tuple(
        Captured(
            qualified=table.qualified,
            topic=topic_of(settings.topic_prefix, table),
            mirror=table.mirror,
            key=table.key,
            columns=table.columns,
            whole=table.identity == "f",
        )
        for table in read_tables(dsn, settings.publication, settings.tables)
    )


def _of_topics(settings: Settings) -> tuple[Captured, ...]:
    prefix = f"{settings.topic_prefix}."
    names = [
        topic.removeprefix(prefix) for topic in topics(settings) if topic not in bookkeeping(settings.topic_prefix)
    ]
    bare = [name.partition(".")[2] for name in names]
    return tuple(
        Captured(
            qualified=name,
            topic=prefix + name,
            mirror=name if bare.count(alone) > 1 and not name.startswith("public.") else alone,
        )
        for name, alone in zip(names, bare, strict=True)
        if alone
    )


def named(tables: Sequence[Captured], name: str) -> Captured:
    """The table that somebody means by ``T`` or ``schema.T``. Raises StackError, with the names that are near."""
    found = [table for table in tables if name in (table.qualified, table.name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise StackError(f"{name} is the name of {_listed(found)}; say which one")
    near = difflib.get_close_matches(name, [each for table in tables for each in (table.qualified, table.name)])
    meant = [table for table in tables if table.qualified in near or table.name in near]
    if meant:
        raise StackError(f"{name} is not captured; did you mean {_listed(meant)}?")
    raise StackError(f"{name} is not captured; there are {_listed(tables)}")


def _listed(tables: Sequence[Captured]) -> str:
    names = [table.qualified for table in tables]
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _said(exc: Exception) -> str:
    return str(exc) if isinstance(exc, StackError) else f"the source does not answer ({type(exc).__name__})"
