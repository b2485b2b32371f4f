"""What the store notes of its declared tables: of which kind each is, and from what declaration it was built."""

from __future__ import annotations

from projectors.analytics.connection import Connection
from projectors.analytics.quoting import quoted
from projectors.read_model import Declarations, History, ReadModel
from projectors.rollup import Rollup
from projectors.versions import KINDS

_KIND_OF = {of: kind for kind, of in KINDS.items()}
#: Of what may be dropped: what a history tells is told nowhere else.
_SCHEMAS = {"read_model": "main", "rollup": "rollups"}
_UNKNOWN = "unknown"  # noted without a kind by an earlier release, and not declared since: perhaps a history


def fingerprints(connection: Connection) -> dict[str, str]:
    """What each was built from, by name."""
    return dict(connection.execute("select name, fingerprint from readside.declared").fetchall())


def note(connection: Connection, declared: ReadModel | Rollup | History, fingerprint: str) -> None:
    """Note that its table was made."""
    _forget(connection, declared.name)
    connection.execute(
        "insert into readside.declared (name, kind, fingerprint) values ($name, $kind, $fingerprint)",
        {"name": declared.name, "kind": _KIND_OF[type(declared)], "fingerprint": fingerprint},
    )


def drop_undeclared(connection: Connection, declarations: Declarations) -> None:
    """Drop the tables of read models and rollups that are not declared any more: they would stand still.

    One of which nobody can tell that it is no history stays, and does not count as built should a read model take its name.
    """
    declared = (*declarations.histories, *declarations.maintained)
    kinds = {one.name: _KIND_OF[type(one)] for one in declared}
    for name, noted in connection.execute("select name, kind from readside.declared").fetchall():
        now = kinds.get(name)
        kind = noted or now or ("rollup" if _is_rollup(connection, name) else _UNKNOWN)
        if kind in _SCHEMAS and kind != now:
            connection.execute(f"drop table if exists {_SCHEMAS[kind]}.{quoted(name)}")
            _forget(connection, name)
        elif kind == _UNKNOWN and now in _SCHEMAS:
            _forget(connection, name)
        elif kind != noted:
            connection.execute(
                "update readside.declared set kind = $kind where name = $name", {"name": name, "kind": kind}
            )


def _is_rollup(connection: Connection, name: str) -> bool:
    found = connection.execute(
        "select 1 from duckdb_tables() "
        "where schema_name = 'rollups' and database_name = current_database() and table_name = $name",
        {"name": name},
    )
    return found.fetchone() is not None


def _forget(connection: Connection, name: str) -> None:
    connection.execute("delete from readside.declared where name = $name", {"name": name})
