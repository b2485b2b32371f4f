"""What a table holds that plain Debezium topics cannot carry exactly: found before the first record is read, by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cdc.catalog import Column, Table
from cdc.encoding import encoding_of, snapshot_select
from cdc.errors import Fatal


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason why a table, or one of its columns, cannot be followed."""

    table: str  #: schema.table
    column: str | None  #: None when it is the table as a whole
    reason: str
    fix: str

    def __str__(self) -> str:
        where = self.table if self.column is None else f"{self.table}.{self.column}"
        return f"{where}: {self.reason}; {self.fix}"


_SAME_BUT_FOR_CASE = "another column's name differs only in case, and Debezium takes the two for one"
_NAME_NOT_CONFIGURABLE = "a key of the replica identity index whose name holds a space, comma, colon or semicolon"
_GENERATED_KEY = "it is generated, so the stream has no key"
_NULL_WHEN_UNCHANGED = "a long value that an update leaves alone arrives as null"
_LEAVE_TABLE = "take the table out of the publication, or leave it out of READSIDE_TABLES"

#: Why a type does not arrive, by its name in pg_type; elements of arrays with a trailing [].
_REASONS = {
    "timetz": "its zone is lost: 13:51+02 arrives as 11:51Z",
    "varbit": "leading zeros are lost: 0011 arrives as 11",
    "int2vector": "it arrives empty",
    "oidvector": "it arrives empty",
    "aclitem": "it names roles of another cluster",
    "numeric[]": "an array that holds a NaN or an infinity arrives as null",
    "date[]": "days before Christ and in October 1582 arrive as others",
    "timestamp[]": "times before October 1582 arrive shifted by days",
    "timestamptz[]": "times before Christ arrive as others after",
    "time[]": "fractions of a millisecond and 24:00 are lost",
    "timetz[]": "the zones are lost",
    "tsvector[]": "an array that holds a null arrives as null",
    "ltree[]": "an array that holds a null arrives as null",
    "bit[]": "it arrives as null",
    **dict.fromkeys(
        ("lseg", "box", "path", "polygon"), "it arrives as well-known binary, which readside does not read"
    ),
    **dict.fromkeys(
        ("money[]", "name[]", "interval[]", "varbit[]", "xml[]", "point[]"), "Debezium leaves the column out"
    ),
}

#: Element types of which Debezium says that an array was not sent again; other arrays become null when an update leaves
#: them alone.
_MARKED_ELEMENTS = frozenset(("int4", "int8", "text", "varchar", "bpchar", "json", "jsonb", "uuid"))

#: Bits that fit into a row's 24 bytes, under which PostgreSQL never moves a value out of line.
_INLINE_BITS = 128


def findings(tables: Iterable[Table]) -> list[Finding]:
    """Everything that stands against following these tables exactly, in their order; empty when nothing does."""
    return [finding for table in tables for finding in (*_of_table(table), *_of_rows(table), *_of_columns(table))]


def require_faithful(tables: Sequence[Table]) -> None:
    """Raises Fatal naming every table and column that cannot be followed exactly, and what to do."""
    if found := findings(tables):
        listed = "\n".join(f"- {finding}" for finding in found)
        raise Fatal(f"readside would not mirror these exactly, so it does not begin:\n{listed}")


def _of_table(table: Table) -> Iterator[Finding]:
    def found(reason: str, fix: str) -> Finding:
        return Finding(table.qualified, None, reason, fix)

    name = table.qualified
    if not table.key:
        yield found(
            "no primary key, so updates and deletes cannot be followed", f"add a primary key, or {_LEAVE_TABLE}"
        )
    if table.identity == "n":
        yield found(
            "replica identity nothing makes every update and delete fail",
            f"alter table {name} replica identity default",
        )
    if table.deferrable and table.identity != "i":
        yield found(
            "its primary key is deferrable: two rows may share a key inside a transaction",
            "make the constraint not deferrable",
        )
    if len(f"{table.mirror}".encode()) > 63:
        yield found("several schemas hold a table of that name, and with the schema's it is too long", _LEAVE_TABLE)
    if "," in name and snapshot_select(table) is not None:
        yield found("a comma in the name keeps the snapshot from reading its dates exactly", "rename it")


def _of_rows(table: Table) -> Iterator[Finding]:
    """Where the snapshot, which is a SELECT, and the stream would not be of the same rows."""

    def found(reason: str, fix: str) -> Finding:
        return Finding(table.qualified, None, reason, fix)

    if table.filtered:
        yield found(
            "the publication filters its rows, which the snapshot does not", "publish the table without a WHERE clause"
        )
    if table.hidden_from is not None:
        yield found(
            f"row security may hide rows from {table.hidden_from}, of which the stream tells all the same",
            f"alter role {table.hidden_from} bypassrls, or {_LEAVE_TABLE}",
        )
    if table.inherited:
        yield found(
            "a snapshot of it holds the rows of tables that inherit from it, which the stream tells under their own names",
            f"make it partitioned, or {_LEAVE_TABLE}; those that inherit may stay",
        )


def _of_columns(table: Table) -> Iterator[Finding]:
    refused = {column.name: reason for column in table.columns if (reason := _reason(table, column)) is not None}
    kept = ", ".join(c.name for c in table.columns if c.name not in refused and c.generated is None)
    leave = f"leave the column out: alter publication … set table {table.qualified} ({kept})"
    for name, reason in refused.items():
        fix = leave
        if reason in (_SAME_BUT_FOR_CASE, _NAME_NOT_CONFIGURABLE, _GENERATED_KEY):
            fix = f"rename or replace it, or {_LEAVE_TABLE}"
        elif reason == _NULL_WHEN_UNCHANGED:
            fix = f"alter table {table.qualified} replica identity full, by which every value is sent, or {leave}"
        yield Finding(table.qualified, name, reason, fix)


def _reason(table: Table, column: Column) -> str | None:
    folded = column.name.lower()
    if any(other is not column and other.name.lower() == folded for other in table.columns):
        return _SAME_BUT_FOR_CASE
    if column.generated is not None:
        return _GENERATED_KEY if column.name in table.key else None
    if table.identity == "i" and column.name in table.key and re.search(r"[\s,;:]", column.name):
        return _NAME_NOT_CONFIGURABLE
    if column.dimensions > 1:
        return "an array of several dimensions loses its values on the way"
    if encoding_of(column) is None:
        return _type_reason(column)
    if table.identity != "f" and column.toastable and not _marked_when_unchanged(column):
        return _NULL_WHEN_UNCHANGED
    return None


def _type_reason(column: Column) -> str:
    name = f"{column.element}[]" if column.element else column.base_type
    kinds = {"e": "enum", "c": "composite", "d": "domain", "r": "range"}
    if name in _REASONS and (column.builtin or column.extension):
        return f"type {column.type}: {_REASONS[name]}"
    if column.element and column.kind in kinds:
        return f"an array of {kinds[column.kind]} values that holds a null arrives as null"
    if column.kind in ("c", "r"):
        return f"{kinds[column.kind]} type {column.type} is the source's own"
    if column.base_type.startswith("reg"):
        return f"type {column.type} names an object of the source's catalogue"
    return f"how Debezium writes type {column.type} is not known to be exact"


def _marked_when_unchanged(column: Column) -> bool:
    if column.element:
        return column.element in _MARKED_ELEMENTS and not column.domain
    if column.base_type == "bit":
        return (column.length or 0) <= _INLINE_BITS
    return not (column.base_type == "hstore" and column.domain)
