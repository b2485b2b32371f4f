"""New snapshots of a source that is being written to, on the real stack: every store ends equal to the source."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import httpx
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier

from cdc.control import ControlTopic, request_snapshot
from projectors.checkpoint import lsn_value
from projectors.run import captured_tables
from stack.verification import verdicts_of
from tests.backends import Stack
from tests.databases import eventually
from tests.traffic import under_load

load = partial(under_load, seed=77, users=40, products=20)


def test_table_added_later_is_brought_in_with_the_rows_it_had(stack: Stack) -> None:
    stack.wait_healthy()
    with load(stack, rate=20), owner(stack) as source:
        source.execute("create table public.parcels (id bigint primary key, name text not null)")
        source.execute("insert into public.parcels select n, 'parcel ' || n from generate_series(1, 1000) n")
        source.execute("grant select on public.parcels to readside_cdc")
        source.execute("alter publication readside add table public.parcels")
        source.execute("delete from public.parcels where id % 7 = 0")
        eventually(lambda: "parcels" in mirrored(stack), what="the table is mirrored", deadline_s=120)
        source.execute("update public.parcels set name = 'again' where id % 5 = 0")
    assert mirror_equals_source(stack)


def test_columns_that_come_go_and_change_under_load_are_followed(stack: Stack) -> None:
    stack.wait_healthy()
    with load(stack, rate=30), owner(stack) as source:
        stack.pause("projector-serving")
        try:  # what follows piles up before it
            source.execute("alter table public.products add column origin text not null default 'here'")
            source.execute("update public.products set origin = 'there' where id % 2 = 0")
            source.execute("alter table public.products rename column origin to made_in")
            source.execute("update public.products set made_in = 'somewhere' where id % 3 = 0")
        finally:
            stack.resume("projector-serving")
        source.execute("alter table public.products add column weight integer default (random() * 100)::integer")
        source.execute("update public.products set weight = 7 where id % 5 = 0")
        eventually(lambda: "weight" in mirrored(stack, "products"), what="the columns are mirrored", deadline_s=120)
        source.execute("alter table public.products alter column weight type text using weight || ' g'")
        source.execute("update public.products set weight = '8 g' where id % 4 = 0")
        retyped = lambda: mirrored(stack, "products").get("weight") == "text"  # noqa: E731
        eventually(retyped, what="the type is mirrored", deadline_s=120)
        source.execute("alter table public.products drop column weight, drop column made_in")
        source.execute("update public.products set description = 'plain' where id % 2 = 1")
        gone = lambda: "made_in" not in mirrored(stack, "products")  # noqa: E731
        eventually(gone, what="the columns are gone", deadline_s=120)
    assert mirror_equals_source(stack)


def test_type_changed_before_its_rows_were_read_does_not_stop_the_pipeline_for_ever(stack: Stack) -> None:
    stack.wait_healthy()
    with load(stack, rate=20), owner(stack) as source:
        stack.pause("connect")
        try:
            source.execute("alter table public.sellers add column rank text default 'x'")
            source.execute("update public.sellers set rank = 'y'")
            source.execute("alter table public.sellers alter column rank drop default")
            source.execute("alter table public.sellers alter column rank type integer using length(rank)")
        finally:
            stack.resume("connect")
        retyped = lambda: mirrored(stack, "sellers").get("rank") == "integer"  # noqa: E731
        eventually(retyped, what="the type is mirrored", deadline_s=180)
    assert mirror_equals_source(stack)


def test_snapshot_under_load_after_the_slot_was_lost_brings_every_store_in_line(stack: Stack) -> None:
    stack.wait_healthy()
    with load(stack, rate=40):
        await_load(stack, begin_snapshot(stack), "both stores load the first one")
        with snapshots(stack) as generation:
            before = generation()
            stack.pause("connect")  # the supervision would start again a connector that is stopped
            try:
                drop_slot(stack)
                delete_some_comments(stack)
            finally:
                stack.resume("connect")
            if stack.settings.history_lost != "snapshot":
                request_snapshot(stack.settings.kafka, stack.settings.topic_prefix, "a test asks")
            eventually(lambda: generation() > before, what="a snapshot is taken by itself", deadline_s=90, every_s=0.2)
            stack.kill("projector-serving")
        await_load(stack, before + 1, "both stores load the second one")
        stack.kill("connect")
        stack.wait_healthy(120)
    assert mirror_equals_source(stack)
    verdicts = verdicts_of(stack.settings)
    assert [verdict for verdict in verdicts if verdict.differences] == []


@contextmanager
def owner(stack: Stack) -> Generator[psycopg.Connection[Any]]:
    """The write database, as somebody who may change its tables."""
    parts = conninfo_to_dict(secret(stack.settings.admin_dsn)) | {"dbname": "shop"}
    with psycopg.connect(make_conninfo("", **parts), autocommit=True) as source:
        yield source


def mirrored(stack: Stack, table: str | None = None) -> dict[str, str]:
    """The mirror's tables, or one's columns with their types."""
    query = "select table_name, '' from information_schema.tables where table_schema = 'mirror'"
    if table is not None:
        query = """select column_name, data_type from information_schema.columns
                    where table_schema = 'mirror' and table_name = %(table)s"""
    with psycopg.connect(secret(stack.settings.serving_dsn)) as store:
        return dict(store.execute(query, {"table": table}).fetchall())  # pyright: ignore[reportArgumentType]


@contextmanager
def snapshots(stack: Stack) -> Generator[Callable[[], int]]:
    """Says the generation of the newest whole snapshot in Kafka."""
    with closing(ControlTopic(stack.settings.kafka, stack.settings.topic_prefix)) as control:

        def newest() -> int:
            latest = control.refresh().latest
            assert latest is not None
            return latest.generation

        yield newest


def begin_snapshot(stack: Stack) -> int:
    """Ask for one and wait until it lies in Kafka whole; its generation."""
    with snapshots(stack) as generation:
        before = generation()
        request_snapshot(stack.settings.kafka, stack.settings.topic_prefix, "a test asks")
        eventually(lambda: generation() > before, what="a snapshot is taken", deadline_s=90, every_s=0.2)
    return before + 1


def await_load(stack: Stack, generation: int, what: str) -> None:
    """Wait until both stores have loaded this snapshot, or a later one.

    Over connections that are kept: a new one for each look keeps a core busy, and the analytics store's projector, which
    gives way to everybody else, then gets next to nothing of a machine with two.
    """
    stores: dict[str, int] = {}
    query = "select coalesce(state->'generation', '0') from readside.checkpoint where store = 'serving'"
    with (
        psycopg.connect(secret(stack.settings.serving_dsn), autocommit=True) as serving,
        httpx.Client(base_url=f"http://{stack.settings.analytics_address}") as analytics,
    ):

        def loaded() -> bool:
            stores["serving"] = int(value(serving, query))
            try:
                stores["analytics"] = analytics.get("/state").json()["state"].get("generation", 0)
            except httpx.HTTPError:  # it begins anew
                return False
            return min(stores.values()) >= generation

        eventually(loaded, what=lambda: f"{what}: {stores} of {generation}", deadline_s=120, every_s=0.2)


def drop_slot(stack: Stack) -> None:
    with psycopg.connect(secret(stack.settings.source_dsn), autocommit=True) as source:
        unused = "select from pg_replication_slots where slot_name = %(slot)s and not active"
        name = {"slot": stack.settings.slot}
        source.execute(
            "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = %(slot)s", name
        )
        eventually(lambda: source.execute(unused, name).fetchone() is not None, what="the slot is released")
        source.execute("select pg_drop_replication_slot(%(slot)s)", name)


def delete_some_comments(stack: Stack) -> None:
    """Rows of which no delete will ever be streamed."""
    with psycopg.connect(secret(stack.settings.writer_dsn)) as source:
        source.execute("delete from follows where follower_id % 2 = 0")
        source.execute("delete from comments where id % 3 = 0")


def mirror_equals_source(stack: Stack) -> bool:
    """Every row of every captured table, as text, once the serving store has come as far as the source stands now."""
    with (
        psycopg.connect(secret(stack.settings.source_dsn), autocommit=True) as source,
        psycopg.connect(secret(stack.settings.serving_dsn), autocommit=True) as store,
    ):
        now = value(source, "select pg_current_wal_insert_lsn()::text")
        position = "select end_lsn::text from readside.checkpoint where store = 'serving'"
        eventually(
            lambda: lsn_value(value(store, position)) >= lsn_value(now), what="the store catches up", deadline_s=60
        )
        query = SQL("select t::text from {} t order by 1")
        for table in captured_tables(stack.settings):
            expected = source.execute(query.format(Identifier(table.schema, table.name))).fetchall()
            stored = store.execute(query.format(Identifier("mirror", table.name))).fetchall()
            assert stored == expected, table.qualified
    return True


def value(connection: psycopg.Connection[Any], query: str) -> str:
    row = connection.execute(query).fetchone()  # pyright: ignore[reportArgumentType]
    assert row is not None
    return row[0]


def secret(dsn: object) -> str:
    return dsn.get_secret_value()  # pyright: ignore[reportAttributeAccessIssue]
