"""What cannot be carried exactly is found in the catalogue, by name, with a way out; what can is not complained of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from cdc.catalog import Table, read_tables
from cdc.encoding import pattern, snapshot_selects
from cdc.errors import Fatal
from cdc.fidelity import findings, require_faithful
from tests import zoo
from tests.followed import run, sql

Publish = Callable[[str], tuple[Table, ...]]


@pytest.fixture
def publish(shop_database: str) -> Iterator[Publish]:
    """Runs statements in a source database and reads the tables of its publication p."""
    with psycopg.connect(shop_database, autocommit=True) as source:
        run(source, ["create extension hstore; create extension ltree; create type mood as enum ('ok')"])

        def published(statements: str) -> tuple[Table, ...]:
            run(source, [statements])
            return read_tables(shop_database, "p")

        yield published


def found(tables: tuple[Table, ...]) -> list[tuple[str | None, str]]:
    return [(finding.column, finding.reason) for finding in findings(tables)]


def test_a_publication_that_is_not_there_is_told_from_an_empty_one(publish: Publish):
    with pytest.raises(Fatal, match="there is no publication p;"):
        publish("select 1")
    with pytest.raises(Fatal, match="publication p holds no table"):
        publish("create publication p")


def test_nothing_stands_against_the_tables_that_are_proved_to_be_mirrored(shop_database):
    with psycopg.connect(shop_database, autocommit=True) as source:
        run(source, (*zoo.create(), sql("setup")))
        listed = source.execute(
            "select oid::regclass::text from pg_class where relnamespace = 'public'::regnamespace "
            "and relkind = 'r' and relname in ('scalars', 'arrays', 'long', 'by_index')"
        ).fetchall()
        run(source, [f"create publication p for table {', '.join(name for (name,) in listed)}"])
    assert findings(read_tables(shop_database, "p")) == []


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("timetz", "its zone is lost"),
        ("varbit", "leading zeros are lost"),
        ("bit varying(8)", "leading zeros are lost"),
        ("path", "well-known binary"),
        ("regclass", "names an object of the source's catalogue"),
        ("int2vector", "it arrives empty"),
        ("pair", "composite type public.pair is the source's own"),
        ("floats", "range type public.floats is the source's own"),
        ("int[][]", "several dimensions"),
        ("numeric[]", "a NaN or an infinity arrives as null"),
        ("date[]", "days before Christ"),
        ("timestamptz[]", "times before Christ"),
        ("interval[]", "Debezium leaves the column out"),
        ("mood[]", "an array of enum values that holds a null"),
        ("ltree[]", "an array that holds a null"),
        ("bool[]", "a long value that an update leaves alone arrives as null"),
        ("texts", "a long value that an update leaves alone arrives as null"),
        ("bit(4000)", "a long value that an update leaves alone arrives as null"),
        ("pg_lsn[]", "how Debezium writes type pg_lsn[] is not known"),
    ],
)
def test_a_type_that_does_not_arrive_exactly_is_refused_by_its_columns_name(publish, kind, reason):
    tables = publish(f"""
        create type pair as (a int, b int); create type floats as range (subtype = float8); create domain texts as text[];
        create table t (id int primary key, "C 1" {kind}, good text); create publication p for table t
    """)
    [finding] = findings(tables)
    assert (finding.table, finding.column) == ("public.t", "C 1")
    assert reason in finding.reason
    assert "set table public.t (id, good)" in finding.fix
    with pytest.raises(Fatal, match=r"public\.t\.C 1: "):
        require_faithful(tables)


def test_a_column_left_out_of_the_publication_is_no_part_of_the_table(publish):
    tables = publish("create table t (id int primary key, z timetz, v text); create publication p for table t (id, v)")
    assert findings(tables) == []
    assert [column.name for column in tables[0].columns] == ["id", "v"]


def test_full_identity_sends_long_values_that_are_not_marked(publish):
    full = "create table t (id int primary key, flags bool[], b bit(4000)); alter table t replica identity full"
    assert findings(publish(f"{full}; create publication p for table t")) == []


@pytest.mark.parametrize(
    ("create", "reason"),
    [
        ("create table t (id int)", "no primary key"),
        ("create table t (id int primary key); alter table t replica identity nothing", "replica identity nothing"),
        ("create table t (id int primary key deferrable)", "deferrable"),
        ('create table t (id int primary key, v text, "V" text)', "differs only in case"),
        ('create table "a,b" (id int primary key, d date); alter table "a,b" rename to "t,"', "a comma in the name"),
        (
            'create table t ("a b" int not null unique); alter table t replica identity using index "t_a b_key"',
            "holds a space",
        ),
        ("create table t (id int generated always as (1 + 1) stored primary key)", "no key"),
    ],
)
def test_a_table_that_cannot_be_followed_is_refused(publish, create, reason):
    name = '"t,"' if "comma in" in reason else "t"
    assert any(reason in why for _, why in found(publish(f"{create}; create publication p for table {name}")))


def test_rows_that_the_publication_filters_are_refused(publish):
    tables = publish("create table t (id int primary key); create publication p for table t where (id > 1)")
    assert found(tables) == [(None, "the publication filters its rows, which the snapshot does not")]


def test_rows_that_row_security_may_hide_from_the_reading_role_are_refused(publish, postgres, shop_database):
    secured = (
        "create table t (id int primary key); alter table t enable row level security; create publication p for table t"
    )
    assert findings(publish(secured)) == [], "a superuser passes it by"
    [finding] = findings(read_tables(postgres.dsn(str(conninfo_to_dict(shop_database)["dbname"]), "readside_cdc"), "p"))
    assert (finding.table, finding.column) == ("public.t", None)
    assert "row security may hide rows from readside_cdc" in finding.reason
    assert finding.fix.startswith("alter role readside_cdc bypassrls, or take the table out of the publication")


def test_a_table_that_others_inherit_from_is_refused_and_one_of_partitions_is_not(publish):
    inherited = "create table t (id int primary key); create table child (primary key (id)) inherits (t)"
    partitioned = (
        "create table s (id int primary key) partition by list (id); create table s1 partition of s for values in (1)"
    )
    tables = publish(
        f"{inherited}; {partitioned}; create publication p for table t, s with (publish_via_partition_root)"
    )
    [finding] = findings(tables)
    assert (finding.table, finding.column) == ("public.t", None)
    assert "rows of tables that inherit from it" in finding.reason
    assert "make it partitioned" in finding.fix
    assert [table.qualified for table in tables] == ["public.child", "public.s", "public.t"], (
        "children are followed as they are"
    )


def test_the_key_is_the_replica_identity_index_where_there_is_one(publish):
    index = "create table t (id int primary key, b int not null, a int not null); create unique index i on t (b, a)"
    [table] = publish(f"{index}; alter table t replica identity using index i; create publication p for table t")
    assert (table.key, table.indexes) == (("b", "a"), (("id",),))


def test_dates_are_read_as_days_and_names_stay_whole(publish):
    [table] = publish('create table "T, x:1" (id int primary key, "d%" date); create publication p for table "T, x:1"')
    assert pattern(table) == r"public\x{2e}T\x{2c}\x{20}x\x{3a}1"
    [dated] = publish('alter table "T, x:1" rename to "T x"')
    selects = snapshot_selects([dated])
    assert selects["snapshot.select.statement.overrides"] == '"public"."T x"'
    assert "\"d%\" - date '1970-01-01'" in selects['snapshot.select.statement.overrides."public"."T x"']


def described(tables: tuple[Table, ...]) -> dict[str, Any]:
    return {column.name: (column.type, column.base_type, column.element) for column in tables[0].columns}


def test_types_are_told_as_the_mirror_declares_them(publish):
    tables = publish("""
        create schema s; create type s.mood as enum ('x'); create domain label as varchar(7); create domain sub as label;
        create table t (id int primary key, e mood, f s.mood, l sub, h hstore, ha hstore[], n numeric(6));
        create publication p for table t
    """)
    assert described(tables) == {
        "id": ("integer", "int4", None),
        "e": ("mirror.mood", "mood", None),
        "f": ('mirror."s.mood"', "mood", None),
        "l": ("character varying(7)", "varchar", None),
        "h": ("hstore", "hstore", None),
        "ha": ("hstore[]", "_hstore", "hstore"),
        "n": ("numeric(6,0)", "numeric", None),
    }
