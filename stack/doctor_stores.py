"""What ``readside doctor`` checks at the two stores: reachable, owned, loaded, moving."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row
from psycopg.sql import SQL, Identifier

from config.settings import Settings
from queries import probes
from stack.finding import Finding, Severity, looked
from stack.probe import STALL_S

Connection = psycopg.Connection[Any]
_TIMEOUT_S = 3


def serving(settings: Settings) -> list[Finding]:
    """The serving store, as its projector sees it."""
    if settings.serving_dsn is None:
        what = "READSIDE_SERVING_DSN is not set, so nobody knows where the serving store is"
        return [_found("serving", "down", what, "readside up")]
    dsn = settings.serving_dsn.get_secret_value()
    return looked("serving", "readside up", lambda: _serving(dsn))


def analytics(settings: Settings) -> list[Finding]:
    """The analytics store, which only its projector can open."""
    return looked("analytics", "readside up", lambda: _analytics(settings))


def _serving(dsn: str) -> Iterator[Finding]:
    with _connect(dsn) as store:
        yield from _owned(store)
        if store.execute("select to_regclass('readside.checkpoint') is null as never").fetchone() == (True,):
            yield _found("serving", "note", "the store is empty; its projector makes it at its first start")
            return
        at = store.execute(
            """
            select phase, epoch, extract(epoch from now() - applied_at)::int as quiet_s,
                   exists (select from pg_locks l
                            where l.locktype = 'advisory' and l.objid = epoch and l.objsubid = 2
                              and l.database = (select oid from pg_database where datname = current_database())) as held
              from readside.checkpoint
             where store = 'serving'
            """
        ).fetchone()
    if at is None:
        yield _found("serving", "note", "the store has no checkpoint; its projector makes it at its first start")
    elif not at.held:
        yield _found("serving", "down", f"no projector holds the store (epoch {at.epoch})", "readside status")
    elif at.phase == "snapshot":
        yield _found("serving", "degraded", "the first snapshot is not loaded yet", "readside status --watch")
    elif at.quiet_s > STALL_S:
        what = f"its projector lives, and its checkpoint has not moved for {at.quiet_s} s, not even by a pulse"
        yield _found("serving", "degraded", what, "readside status")


def _connect(dsn: str) -> Connection:
    options = "-c default_transaction_read_only=on -c statement_timeout=5000"
    return psycopg.connect(dsn, connect_timeout=_TIMEOUT_S, options=options, row_factory=namedtuple_row)


def _owned(store: Connection) -> Iterator[Finding]:
    rows = store.execute(
        """
        select n.nspname as schema, pg_get_userbyid(n.nspowner) as owner, current_user as role
          from pg_namespace n
         where n.nspname in ('readside', 'mirror', 'history', 'read_models')
           and not pg_has_role(n.nspowner, 'usage')
        """
    ).fetchall()
    for schema, owner, role in rows:
        fix = SQL("alter schema {} owner to {};").format(Identifier(schema), Identifier(role)).as_string()
        yield _found("serving", "down", f"schema {schema} belongs to {owner}, and the projector is {role}", fix)
    right = store.execute(
        """
        select has_database_privilege(current_database(), 'create') as may, current_user as role,
               current_database() as name
        """
    ).fetchone()
    if right is not None and not right.may and not rows:
        fix = (
            SQL("grant create on database {} to {};").format(Identifier(right.name), Identifier(right.role)).as_string()
        )
        yield _found("serving", "down", f"role {right.role} may not make schemas in {right.name}", fix)


def _analytics(settings: Settings) -> Iterator[Finding]:
    position = probes.analytics(settings).position
    if position is not None and position.phase == "snapshot":
        yield _found("analytics", "degraded", "the first snapshot is not loaded yet", "readside status --watch")


def _found(part: str, severity: Severity, what: str, fix: str = "") -> Finding:
    return Finding(part="serving" if part == "serving" else "analytics", severity=severity, what=what, fix=fix)
