"""The mirror equals its source for every type and every row change, through real Debezium, Kafka and PostgreSQL.

What passes here is what docs/decisions/0007 says of each type.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.catalog import Table
from tests import zoo
from tests.backends import Stack
from tests.followed import TABLES, Followed, rows_as_text

# kafka-python leaves the socket of its first look at the cluster to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

ZOO = {"scalars": zoo.SCALARS, "arrays": zoo.ARRAYS, "long": zoo.LONG}


@pytest.fixture(scope="module")
def followed(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Followed]:
    """The zoo: the snapshot is taken, every change made and applied."""
    followed = Followed(stack.settings)
    followed.make_databases()
    try:
        followed.fill()
        followed.start()
        followed.change()
        if path := request.config.getoption("--record"):
            followed.record(Path(path))
        yield followed
    finally:
        followed.close()
        gc.collect()


def values(followed: Followed, table: Table, *, source: bool) -> dict[str, list[str | None]]:
    with followed.source() if source else followed.mirror() as connection:
        rows = rows_as_text(connection, table, source=source)
    return {column.name: [row[place] for row in rows] for place, column in enumerate(table.columns)}


@pytest.fixture(scope="module")
def zoo_values(followed: Followed) -> dict[str, tuple[dict[str, list[str | None]], dict[str, list[str | None]]]]:
    """(mirror's, source's) values by column, by table."""
    tables = {name: followed.tables[f"public.{name}"] for name in ZOO}
    return {n: (values(followed, t, source=False), values(followed, t, source=True)) for n, t in tables.items()}


@pytest.mark.parametrize(
    ("table", "column"),
    [
        pytest.param(table, zoo.column(n), id=f"{table}-{kind}")
        for table, kinds in ZOO.items()
        for n, kind in enumerate(kinds)
    ],
)
def test_every_value_of_every_type_is_as_at_the_source(zoo_values, table, column):
    mirror, source = zoo_values[table]
    assert any(source[column])
    assert mirror[column] == source[column]


@pytest.mark.parametrize("name", TABLES)
def test_rows_are_as_at_the_source_after_every_change(followed: Followed, name: str) -> None:
    [table] = [table for table in followed.tables.values() if name in written(table)]
    assert values(followed, table, source=False) == values(followed, table, source=True)


def written(table: Table) -> set[str]:
    """The table's name in the ways that fixtures/rows write names."""

    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    if table.schema == "public":
        return {table.name, quoted(table.name)}
    return {table.qualified, f"{quoted(table.schema)}.{quoted(table.name)}"}


def test_columns_have_the_sources_types_and_enums_their_labels(followed: Followed) -> None:
    query = """
        select enum_range(null::mirror."other zoo.mood")::text, enum_range(null::mirror.mood)::text,
               format_type(atttypid, atttypmod)
          from pg_attribute where attrelid = 'mirror.scalars'::regclass and attname = 'c6'
    """
    with followed.mirror() as mirror:
        assert mirror.execute(query).fetchone() == ("{other,moods}", "{sad,ok,happy}", "numeric(10,2)")


def test_tables_of_one_name_are_told_apart_by_their_schema(followed: Followed) -> None:
    assert {table.mirror for table in followed.tables.values() if table.name == "same"} == {"same", "other.same"}
