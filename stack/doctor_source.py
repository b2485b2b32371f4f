"""What ``readside doctor`` checks at the captured database: the server, the role, the publication, the tables, the slot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import namedtuple_row
from psycopg.sql import SQL, Composable, Identifier

from config.settings import Settings
from stack.finding import Finding, Severity, looked
from stack.postgres import OLDEST

Connection = psycopg.Connection[Any]
_TIMEOUT_S = 3


def source(settings: Settings) -> list[Finding]:
    """Everything that stands against capturing READSIDE_SOURCE_DSN; nothing is changed there."""
    if settings.source_dsn is None:
        what = "READSIDE_SOURCE_DSN is not set, so nobody knows which database to capture"
        return [Finding(part="source", severity="down", what=what, fix="readside up")]
    dsn = settings.source_dsn.get_secret_value()
    parts = conninfo_to_dict(dsn)
    where = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
    return looked(
        "source",
        f"psql -h {parts.get('host')} -p {parts.get('port', 5432)}  # is {where} up?",
        lambda: _all(dsn, settings),
    )


def _all(dsn: str, settings: Settings) -> Iterator[Finding]:
    with _connect(dsn) as database:
        yield from _server(database)
        yield from _role(database, settings)
        yield from _publication(database, settings)
        yield from _slot(database, settings)


def _connect(dsn: str) -> Connection:
    options = "-c default_transaction_read_only=on -c statement_timeout=5000"
    return psycopg.connect(dsn, connect_timeout=_TIMEOUT_S, options=options, row_factory=namedtuple_row)


def _found(severity: Severity, what: str, fix: Composable | str = "") -> Finding:
    return Finding(part="source", severity=severity, what=what, fix=fix if isinstance(fix, str) else fix.as_string())


def _server(database: Connection) -> Iterator[Finding]:
    found: dict[str, str] = dict(
        database.execute(
            """
            select name, setting from pg_settings
             where name in ('server_version_num', 'wal_level', 'max_slot_wal_keep_size', 'idle_replication_slot_timeout')
            """
        ).fetchall()
    )
    if int(found["server_version_num"]) < OLDEST * 10_000:
        yield _found(
            "down", f"PostgreSQL {int(found['server_version_num']) // 10_000} is older than {OLDEST}", "upgrade it"
        )
    if found["wal_level"] != "logical":
        what = f"wal_level is {found['wal_level']}, so no change stream can be decoded"
        yield _found("down", what, "alter system set wal_level = 'logical';  -- and restart PostgreSQL")
    if found["max_slot_wal_keep_size"] == "-1":
        what = "max_slot_wal_keep_size has no limit: a connector that is down for long fills the server's disk with WAL"
        yield _found("degraded", what, "alter system set max_slot_wal_keep_size = '50GB';\nselect pg_reload_conf();")
    if int(found.get("idle_replication_slot_timeout", 0)) > 0:
        what = (
            f"idle_replication_slot_timeout is {found['idle_replication_slot_timeout']} s: a connector that is down for "
            "longer loses its slot, and with it history"
        )
        yield _found("degraded", what, "alter system set idle_replication_slot_timeout = 0;\nselect pg_reload_conf();")


def _role(database: Connection, settings: Settings) -> Iterator[Finding]:
    role = database.execute(
        """
        select rolname as name, rolreplication as replicates, rolsuper as super,
               rolcreatedb or rolcreaterole as more,
               (select rolbypassrls and not bool_or(c.relrowsecurity)
                  from pg_publication_tables p
                  join pg_namespace n on n.nspname = p.schemaname
                  join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
                 where p.pubname = %(publication)s) as bypasses,
               coalesce((select pg_has_role(r.oid, m.oid, 'member') from pg_roles m where m.rolname = 'rds_replication'),
                        false) as rds
          from pg_roles r
         where rolname = current_user
        """,
        {"publication": settings.publication},
    ).fetchone()
    assert role is not None
    name = Identifier(role.name)
    if not (role.replicates or role.rds or role.super):
        yield _found("down", f"role {role.name} may not replicate", SQL("alter role {} replication;").format(name))
    if role.super:
        yield _found(
            "degraded",
            f"role {role.name} is a superuser; it needs to replicate and to read the tables, no more",
            SQL("create role readside_cdc login replication password '…';  -- and name it in READSIDE_SOURCE_DSN"),
        )
    elif role.more:
        what = f"role {role.name} may create databases or roles; it needs none of it"
        yield _found("degraded", what, SQL("alter role {} nocreatedb nocreaterole;").format(name))
    if role.bypasses and not role.super:  # where a table has it, the snapshot needs all rows (cdc/fidelity.py)
        what = f"role {role.name} may bypass row security, which no published table has"
        yield _found("degraded", what, SQL("alter role {} nobypassrls;").format(name))


def _publication(database: Connection, settings: Settings) -> Iterator[Finding]:
    name = Identifier(settings.publication)
    row = database.execute(
        """
        select pubinsert and pubupdate and pubdelete and pubtruncate as everything, pubviaroot as via_root
          from pg_publication
         where pubname = %(name)s
        """,
        {"name": settings.publication},
    ).fetchone()
    if row is None:
        yield from _no_publication(database, settings)
        return
    if not row.everything:
        what = f"publication {settings.publication} leaves some of insert, update, delete, truncate out"
        fix = SQL("alter publication {} set (publish = 'insert, update, delete, truncate');").format(name)
        yield _found("down", what, fix)
    if not row.via_root and _has_partitioned(database, settings.publication):
        what = f"publication {settings.publication} holds a partitioned table and publishes its partitions one by one"
        yield _found("down", what, SQL("alter publication {} set (publish_via_partition_root = true);").format(name))
    yield from _tables(database, settings)


def _no_publication(database: Connection, settings: Settings) -> Iterator[Finding]:
    tables = database.execute(
        """
        select n.nspname as schema, c.relname as name,
               has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as readable,
               has_table_privilege(c.oid, 'insert, update, delete, truncate') as writable
          from pg_class c
          join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence = 'p'
           and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
           and exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)
         order by n.nspname, c.relname
        """
    ).fetchall()
    wanted = [t for t in tables if not settings.tables or f"{t.schema}.{t.name}" in settings.tables]
    if not wanted:
        yield _found("down", "there is no table with a primary key, and no publication", "create a table")
        return
    fix = SQL("create publication {} for table {}\n  with (publish_via_partition_root = true);").format(
        Identifier(settings.publication), _names(wanted)
    )
    yield _found("down", f"there is no publication {settings.publication}; its tables' owner makes it", fix)
    yield from _rights(database, wanted)


def _has_partitioned(database: Connection, publication: str) -> bool:
    found = database.execute(
        """
        select from pg_publication_tables p
          join pg_namespace n on n.nspname = p.schemaname
          join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
         where p.pubname = %(name)s and (c.relispartition or c.relkind = 'p')
        """,
        {"name": publication},
    )
    return found.fetchone() is not None


def _tables(database: Connection, settings: Settings) -> Iterator[Finding]:
    rows = database.execute(
        """
        select n.nspname as schema, c.relname as name, c.relreplident as identity, p.rowfilter is not null as filtered,
               exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary) as keyed,
               has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as readable,
               has_table_privilege(c.oid, 'insert, update, delete, truncate') as writable
          from pg_publication_tables p
          join pg_namespace n on n.nspname = p.schemaname
          join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
         where p.pubname = %(publication)s
         order by n.nspname, c.relname
        """,
        {"publication": settings.publication},
    ).fetchall()
    captured = [row for row in rows if not settings.tables or f"{row.schema}.{row.name}" in settings.tables]
    held = {f"{row.schema}.{row.name}" for row in rows}
    publication = Identifier(settings.publication)
    for missing in sorted(set(settings.tables) - held):
        fix = SQL("alter publication {} add table {};").format(publication, Identifier(*missing.split(".", 1)))
        yield _found("down", f"publication {settings.publication} does not hold {missing}", fix)
    if not captured:
        yield _found(
            "down",
            f"publication {settings.publication} holds no table",
            SQL("alter publication {} add table …;").format(publication),
        )
    for row in captured:
        yield from _table(row, publication, settings)
    yield from _rights(database, captured)


def _table(row: Any, publication: Identifier, settings: Settings) -> Iterator[Finding]:
    table, name = Identifier(row.schema, row.name), f"{row.schema}.{row.name}"
    if not row.keyed:
        fix = SQL(
            "alter table {0} add primary key (…);\nalter publication {1} drop table {0};  -- or leave it out"
        ).format(table, publication)
        yield _found("down", f"{name} has no primary key, so its updates and deletes cannot be followed", fix)
    elif row.identity == "n":
        yield _found(
            "down",
            f"{name} has replica identity nothing",
            SQL("alter table {} replica identity default;").format(table),
        )
    if row.filtered:
        what = f"{name} is published with a row filter: the mirror would lack rows, and rows would come and go"
        fix = SQL("alter publication {0} drop table {1};\nalter publication {0} add table {1};").format(
            publication, table
        )
        yield _found("down", what, fix)


def _rights(database: Connection, captured: Iterable[Any]) -> Iterator[Finding]:
    row = database.execute("select current_user").fetchone()
    assert row is not None
    role = Identifier(row[0])
    tables = list(captured)
    if unread := [each for each in tables if not each.readable]:
        schemas = SQL(", ").join(Identifier(schema) for schema in sorted({each.schema for each in unread}))
        fix = SQL("grant usage on schema {schemas} to {role};\ngrant select on {tables} to {role};").format(
            schemas=schemas, role=role, tables=_names(unread)
        )
        yield _found("down", f"role {row[0]} may not read {_listed(unread)}", fix)
    if written := [each for each in tables if each.writable]:
        fix = SQL("revoke insert, update, delete, truncate on {} from {};  -- unless it owns them").format(
            _names(written), role
        )
        yield _found("degraded", f"role {row[0]} may write to {_listed(written)}; reading is enough", fix)


def _slot(database: Connection, settings: Settings) -> Iterator[Finding]:
    slot = database.execute(
        """
        select plugin, database = current_database() as here, database, active, wal_status,
               pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) as retained
          from pg_replication_slots
         where slot_name = %(slot)s
        """,
        {"slot": settings.slot},
    ).fetchone()
    if slot is None:
        yield from _room(database, settings)
    elif not slot.here or slot.plugin != "pgoutput":
        what = f"slot {settings.slot} is somebody else's: database {slot.database}, plugin {slot.plugin}"
        yield _found("down", what, f"export READSIDE_SLOT={settings.slot}_2")
    elif slot.wal_status == "lost":
        what = f"slot {settings.slot} lost WAL it needed: changes are gone, and only a new snapshot leads on"
        yield _found("down", what, "python -m cdc snapshot")
    elif slot.wal_status == "unreserved":
        yield _found(
            "degraded",
            f"slot {settings.slot} is about to lose WAL it needs",
            "alter system set max_slot_wal_keep_size = '200GB';\nselect pg_reload_conf();",
        )
    elif not slot.active:
        what = f"nobody reads slot {settings.slot}, and the server keeps {slot.retained} of WAL for it"
        yield _found("degraded", what, "readside up")


def _room(database: Connection, settings: Settings) -> Iterator[Finding]:
    row = database.execute(
        """
        select current_setting('max_replication_slots')::int - (select count(*) from pg_replication_slots) as slots,
               current_setting('max_wal_senders')::int
               - (select count(*) from pg_stat_activity where backend_type = 'walsender') as senders
        """
    ).fetchone()
    assert row is not None
    yield _found("note", f"there is no slot {settings.slot} yet; the first start makes it")
    for free, setting in ((row.slots, "max_replication_slots"), (row.senders, "max_wal_senders")):
        if free < 1:
            what = f"{setting} leaves no room for one more"
            yield _found("down", what, f"alter system set {setting} = 20;  -- and restart PostgreSQL")


def _names(rows: Iterable[Any]) -> Composable:
    return SQL(", ").join(Identifier(row.schema, row.name) for row in rows)


def _listed(rows: list[Any]) -> str:
    names = [f"{row.schema}.{row.name}" for row in rows]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
