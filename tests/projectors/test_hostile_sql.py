"""Ad hoc SQL that means harm: nothing of it succeeds, and the store it was meant for goes on as if it had not been."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from projectors.analytics.confined import Limits
from projectors.analytics.sql import Answer, Refused, Statement, query
from projectors.analytics.store import AnalyticsStore
from projectors.read_model import Declarations

MEMORY = 128 << 20
SEED = """
    create table orders as select i as id, i % 7 as status from range(10000) r(i);
    create sequence numbers;
"""

FILES = [
    "select * from read_csv('/etc/passwd')",
    "select * from read_text('/etc/hostname')",
    "select * from read_blob('/proc/self/environ')",
    "select * from read_blob('/proc/self/fd/3')",
    "select * from read_json('/etc/passwd')",
    "select * from read_parquet('{directory}/x.parquet')",
    "select * from '/etc/passwd'",
    "from 'file:///etc/passwd'",
    "from 'http://127.0.0.1:1/x.csv'",
    "select * from read_text('{live}')",
    "select * from read_blob('{live}.wal')",
    "select * from glob('/etc/*')",
    "select * from sniff_csv('/etc/passwd')",
    "select * from read_csv('/dev/stdin')",
    "copy orders to '{directory}/stolen.csv'",
    "copy (select 1) to '{live}.tmp/stolen.csv'",
    "with x as (copy orders to '{live}.tmp/stolen.csv') select 1",
    "copy orders from '/etc/passwd'",
    "export database '{directory}/stolen'",
    "import database '{directory}'",
    "attach '{directory}/other.duckdb'",
    "attach '{live}' as again",
    "load '{directory}/evil.duckdb_extension'",
    "install httpfs",
]
WRITES = [
    "insert into orders values (1, 1)",
    "update orders set status = 0",
    "delete from orders",
    "truncate orders",
    "merge into orders using (select 1 as id) s on orders.id = s.id when matched then delete",
    "create table mine as select 1 as n",
    "create temporary table mine as select 1 as n",
    "create or replace view orders as select 1 as id",
    "create macro f(x) as x",
    "create index i on orders (id)",
    "alter table orders add column c int",
    "drop table orders",
    "comment on table orders is 'mine'",
    "with gone as (delete from orders returning *) select * from gone",
    "with come as (insert into orders values (1, 1) returning *) select * from come",
    "with other as (update orders set status = 9 returning *) select * from other",
    "explain analyze delete from orders",
    "explain analyze insert into orders values (1, 1)",
    "select nextval('numbers')",
    "checkpoint",
    "force checkpoint",
    "vacuum",
    "analyze",
]
SESSION = [
    "set memory_limit = '100GB'",
    "set max_temp_directory_size = '100GB'",
    "set threads = 8",
    "reset memory_limit",
    "pragma memory_limit = '100GB'",
    "set variable x = 1",
    "use system",
    "prepare p as delete from orders",
    "call pragma_version()",
    "begin transaction",
    "commit",
    "select 1; delete from orders",
    "select 1; commit; drop table orders",
    "commit; insert into orders values (1, 1)",
    "select 1 /* ; */ ; /* */ drop table orders -- ",
]
TELLING = [
    "select * from duckdb_databases()",
    "select path from duckdb_databases",
    'select * from "duckdb_databases"()',
    "pragma database_list",
    "select * from pragma_database_list",
    "select * from duckdb_settings()",
    "select * from DUCKDB_SETTINGS()",
    "select * from pg_settings",
    "select current_setting('temp_directory')",
    "select * from duckdb_extensions()",
    "select * from duckdb_secrets()",
    "select * from duckdb_temporary_files()",
    "select * from query('select path from duckdb_' || 'databases()')",
    "select * from \"query\" /* */ ('select 1')",
    # What ends a comment, and what is white space, is what DuckDB takes for it.
    "select hex(path) from query --\r('select path from duckdb_' || 'databases()')",
    "select hex(path) from query\u200b('select path from duckdb_' || 'databases()')",
    "select hex(path) from query\ufeff('select path from duckdb_' || 'databases()')",
    "select * from query /* /* */ -- */ */ ('select 1')",
    "select * from query_table('orders')",
    # DuckDB's macros that look up a table by a text.
    "select * from histogram_values('duckdb_' || 'databases', reverse(path))",
    "select * from histogram('duckdb_' || 'databases', reverse(path))",
    "select * from orders, \"histogram\" /* */ ('duckdb_' || 'databases', hex(path))",
    "pivot histogram --\r('duckdb_' || 'databases', hex(path)) on bin using sum(count)",
    "from histogram(technique := 'sample', source := 'duckdb_' || 'databases', col_name := path)",
    "select * from duckdb_profiling_settings()",
    "select * from json_execute_serialized_sql(json_serialize_sql('select 1'))",
    "select getenv('HOME')",
    "select * from os",
    "select * from store",
    "select * from settings",
]
MEMORY_EATERS = [
    "select repeat('a', 2_000_000_000)",
    "select length(repeat('a', 2_000_000_000))",
    "select lpad('a', 2_000_000_000, 'b')",
    "select length(rpad('a', 2_000_000_000, 'b'))",
    "select list(i) from range(1_000_000_000) r(i)",
    "select len(range(1_000_000_000))",
    "select len(generate_series(1, 1_000_000_000))",
    "select length(string_agg(repeat('x', 1_000), '')) from range(10_000_000)",
    "select length(array_agg(repeat('x', 10_000))::varchar) from range(1_000_000)",
    "select len(json_group_array(repeat('x', 10_000))) from range(1_000_000)",
    "select len(histogram(i)) from range(100_000_000) r(i)",
    "select max(n) from (select lag(i) over (order by hash(i)) as n from range(100_000_000) r(i))",
    "select count(distinct hash(i)) from range(1_000_000_000) r(i)",
    "select count(*) from (select repeat('x', 1_000) || i as t from range(10_000_000) r(i) order by t desc) where t < 'y'",
    "with recursive d(t) as (select 'x' union all select t || t from d where length(t) < 4e9) select max(length(t)) from d",
    "select len(list_resize([1], 2_000_000_000))",
    "select length(printf('%2000000000d', 1))",
    "select bit_count(bitstring('1', 2_000_000_000))",
    "select len(list_transform(range(100_000_000), x -> repeat('x', 1_000)))",
    "select length(array_to_string(list_transform(range(10_000_000), x -> repeat('x', 1_000)), ''))",
    "select repeat('x', 1_000) || i from range(200_000) r(i)",
]
TIME_EATERS = [
    "select count(*) from range(1_000_000) a, range(1_000_000) b, range(1_000_000) c",
    "select sum(hash(a.id + b.id)) from orders a, orders b, orders c",
    "with recursive forever(n) as (select 1 union all select (n + 1) % 7 from forever) select max(n) from forever",
    "with recursive forever(n) as (select 1 union all select n + 1 from forever, range(9)) select max(n) from forever",
    "select sum(levenshtein(repeat('ab', 5_000), repeat('ba', 5_000) || i)) from range(100_000) r(i)",
    "select max(sha256(i::varchar)) from range(100_000_000_000) r(i)",
    "select count(*) from range(100_000_000_000) r(i) where regexp_matches(i::varchar, '(1+)+2(3*)*$')",
]
SHAPES = [
    "select " + "(" * 30_000 + "1" + ")" * 30_000,
    "select " + "- " * 30_000 + "1",
    "select * from " + "(select * from " * 5_000 + "orders" + ")" * 5_000,
    "select $a + $b",
    "",
    ";",
    "-- nothing",
]
HOSTILE = [*FILES, *WRITES, *SESSION, *TELLING, *MEMORY_EATERS, *TIME_EATERS, *SHAPES]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnalyticsStore]:
    path: Path = tmp_path_factory.mktemp("analytics") / "live.duckdb"
    limits = Limits(seconds=1.5, memory_bytes=MEMORY, result_bytes=1 << 20)
    store = AnalyticsStore(path, (), Declarations(), memory_limit="192MB", shapes={}, limits=limits)
    store.open()
    for statement in SEED.strip().split(";\n"):
        store.cursor().execute(statement)
    yield store
    store.close()


def state(store: AnalyticsStore) -> object:
    cursor = store.cursor()
    tables = cursor.execute("select schema_name, table_name, sql, comment from duckdb_tables() order by all").fetchall()
    return [
        tables,
        cursor.execute("select count(*), sum(id), sum(status) from orders").fetchall(),
        cursor.execute("select current_setting('memory_limit'), current_setting('threads')").fetchall(),
        cursor.execute("select last_value from duckdb_sequences()").fetchall(),
        sorted(str(path) for path in store.directory.rglob("*") if path.is_file()),
    ]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_it_is_refused_and_changes_nothing(store: AnalyticsStore, number: int) -> None:
    sql = HOSTILE[number].replace("{live}", str(store.directory / "live.duckdb"))
    sql = sql.replace("{directory}", str(store.directory))
    before = state(store)
    with pytest.raises(Refused) as refused:
        query(store, Statement(sql=sql, parameters={}, form="json", most_rows=1_000_000))
    said = str(refused.value)
    assert refused.value.status in (400, 403, 408, 413)
    assert str(store.directory) not in said
    assert "/etc" not in said and "/root" not in said and "/home" not in said and "/proc" not in said
    assert state(store) == before


def test_whatever_duckdb_has_that_reads_a_table_by_a_text_is_refused(store: AnalyticsStore) -> None:
    macros = (
        store.cursor()
        .execute("select function_name, macro_definition from duckdb_functions() where function_type = 'table_macro'")
        .fetchall()
    )
    reading, found = {"query", "query_table"}, {""}
    while found:
        found = {name for name, text in macros if any(re.search(rf"\b{of}\(", text) for of in reading)} - reading
        reading |= found
    assert {"histogram", "histogram_values"} <= reading
    for name in reading:
        with pytest.raises(Refused, match="is not for ad hoc SQL"):
            asked(store, f"from {name}('duckdb_' || 'databases', path)")


@pytest.mark.parametrize("of", ["status", "orders.status", " id % 7 ", "status::int"])
def test_a_histogram_that_counts_is_no_such_macro(store: AnalyticsStore, of: str) -> None:
    assert b"1428" in asked(store, f"select id < 0, histogram({of}) from orders group by 1").body
    assert b"9999" in asked(store, "select max(id) as histogram from orders group by 1 = 1 order by histogram").body


def asked(store: AnalyticsStore, sql: str) -> Answer:
    return query(store, Statement(sql=sql, parameters={}, form="json", most_rows=10))


def test_no_process_is_left_and_none_took_more_than_it_may(store: AnalyticsStore) -> None:
    for sql in MEMORY_EATERS[:4]:
        with pytest.raises(Refused):
            query(store, Statement(sql=sql, parameters={}, form="json", most_rows=1))
    assert store.confinement._pids == set()
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    assert 0 < store.confinement.peak_bytes <= own + MEMORY + (64 << 20)


def test_it_is_many() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) >= 60
