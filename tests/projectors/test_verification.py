"""What is compared, and how differences are located: by checksums that both databases compute, some keys at a time."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import httpx
import psycopg
import pytest
from pydantic import SecretStr

from cdc.errors import Transient
from config.settings import Settings
from projectors.analytics.server import serving as serving_endpoint
from projectors.read_models import DECLARATIONS
from projectors.verification.checksums import checksums
from projectors.verification.comparing import Difference, compare, together
from projectors.verification.oracles import (
    SESSION,
    Oracle,
    Recomputation,
    is_sliced,
    next_bound,
    oracle_of,
    oracle_of_table,
)
from projectors.verification.reconciler import Reconciler
from projectors.verification.repairing import ask_rebuild
from projectors.verification.sides import Analytics, Ranges, Sides, Source
from stack.ports import free
from tests.databases import eventually
from tests.operations import SEED
from tests.shop import Shop

SERVING, ANALYTICS = (DECLARATIONS.of_store(name).read_models for name in ("serving", "analytics"))


def oracles(pipeline: Any) -> list[Oracle]:
    models = [oracle for model in SERVING if (oracle := oracle_of(model, "projectors.read_models"))]
    return [*models, *(oracle_of_table(table) for table in pipeline.tables)]


def test_both_databases_compute_the_same_checksums(followed: Any, sides: Sides) -> None:
    for oracle in oracles(followed):
        expected, _ = sides.source.checksums(oracle)
        assert sides.stores["serving"].checksums(oracle) == expected, oracle.name
    users, _ = sides.source.checksums(oracle_of_table(table_of(followed, "users")))
    assert sum(count for count, _ in users.values()) == 503
    assert len(users) > 150  # ranges


def test_duckdb_computes_the_same_checksums(analytics: Any, shop_database: str, tmp_path: Path) -> None:
    analytics.commit(SEED)
    analytics.project_until_done()
    with duckdb.connect(tmp_path / "live.duckdb") as store, psycopg.connect(shop_database, options=SESSION) as source:
        for model in ANALYTICS:
            oracle = oracle_of(model, "projectors.read_models")
            assert oracle is not None
            columns = store.execute(f"select * from ({oracle.stored}) limit 0").description
            statement = checksums(oracle.stored, oracle.key, [column[0] for column in columns or ()], "duckdb")
            found = {part: (count, int(total)) for part, count, total in store.execute(statement).fetchall()}
            assert found == Source(source).checksums(oracle)[0], model.name


def test_the_analytics_store_is_read_over_its_endpoint(shop_database: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, analytics_address=f"127.0.0.1:{free()[0]}")
    shop = Shop(shop_database, tmp_path, DECLARATIONS.of_store("analytics"))
    (model,) = [model for model in ANALYTICS if model.name == "customers"]
    oracle = oracle_of(model, "projectors.read_models")
    assert oracle is not None
    with (
        closing(shop),
        serving_endpoint(settings, shop.store),
        httpx.Client(base_url=f"http://{settings.analytics_address}", timeout=30, trust_env=False) as client,
    ):
        store, (expected, _) = Analytics(client), Source(shop.source).checksums(oracle)
        assert store.checksums(oracle) == expected
        assert store.position() == shop.store.checkpoint.end_lsn
        shop.store.cursor().execute("update customers set email = 'x' where id = 3")
        spoiled = store.checksums(oracle)
        (differing,) = [part for part in expected if expected[part] != spoiled[part]]
        rows, (must_be, _) = store.rows(oracle, Ranges([differing])), Source(shop.source).rows(oracle, [(3,), (4,)])
        assert set(rows) == {(3,)}
        assert store.rows(oracle, [(3,), (4,)]) == {**must_be, (3,): rows[(3,)]}
        assert rows[(3,)] != must_be[(3,)]


def test_a_rollup_of_the_analytics_store_is_counted_anew(shop_database: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, analytics_address=f"127.0.0.1:{free()[0]}")
    declared = DECLARATIONS.of_store("analytics")
    shop = Shop(shop_database, tmp_path, declared)
    looked_at = Reconciler(settings, threading.Event())
    due = {one.name: one for _ in declared.maintained for one in looked_at._due() if one.store == "analytics"}
    assert due.keys() == {one.name for one in declared.maintained}
    with (
        closing(shop),
        serving_endpoint(settings, shop.store),
        httpx.Client(base_url=f"http://{settings.analytics_address}", timeout=30, trust_env=False) as client,
    ):
        sides = Sides(None, {"analytics": Analytics(client)})  # pyright: ignore[reportArgumentType]

        def found() -> dict[str, int]:
            verdicts = [compare(sides, Recomputation(rollup)) for rollup in declared.rollups]
            assert {verdict.model: verdict.rows for verdict in verdicts}["orders_by_day"] > 1
            return {verdict.model: verdict.differences for verdict in verdicts if verdict.differences}

        with shop.committing():
            shop.put(1, 1, "paid", "5.00", "2026-02-03T04:05:06Z", (1, 2, "2.50"))
            shop.put(2, 2, "paid", "5.00", "2026-02-04T04:05:06Z", (1, 2, "2.50"))
        assert found() == {}
        shop.store.cursor().execute("update rollups.orders_by_day set orders = orders + 1")
        assert found() == {"orders_by_day": 2}


def test_a_difference_is_told_by_key_kind_and_column(
    followed: Any, sides: Sides, verifier: psycopg.Connection[Any]
) -> None:
    oracle = oracle_of_table(table_of(followed, "users"))
    assert compare(sides, oracle).differences == 0
    verifier.execute("update mirror.users set last_name = null, phone = '' where id = 1008")
    verifier.execute("delete from mirror.users where id = 1500")
    verifier.execute("update mirror.users set id = 9 where id = 1001")
    verdict = compare(sides, oracle, values=True)
    assert (verdict.rows, verdict.differences) == (503, 4)
    assert verdict.kinds == {"different": 1, "missing": 2, "unexpected": 1}
    assert verdict.columns == {"last_name": 1, "phone": 1}
    assert {row.key: row.kind for row in verdict.first} == {
        ("1001",): "missing",
        ("1008",): "different",
        ("1500",): "missing",
        ("9",): "unexpected",
    }
    (different,) = [row for row in verdict.first if row.kind == "different"]
    assert (different.columns, different.stored) == (("last_name", "phone"), {"last_name": "null", "phone": '""'})
    assert different.expected == {"last_name": '"B\'%s\\u001f"', "phone": "null"}
    assert compare(sides, oracle).first[1] == Difference(("1008",), "different", ("last_name", "phone"))


def test_of_a_document_the_members_that_differ_are_told(sides: Sides, verifier: psycopg.Connection[Any]) -> None:
    (model,) = [model for model in SERVING if model.name == "user_profile"]
    oracle = oracle_of(model, "projectors.read_models")
    assert oracle is not None
    verifier.execute("""
        update read_models.user_profile set document = document - 'email' || '{"post_count": 7, "more": 1}' where id = 1001
    """)
    verdict = compare(sides, oracle)
    assert verdict.columns == {"document.email": 1, "document.more": 1, "document.post_count": 1}
    assert [row.expected for row in verdict.first] == [None]


def test_only_rows_of_ranges_that_disagree_are_read(
    followed: Any, sides: Sides, verifier: psycopg.Connection[Any]
) -> None:
    oracle = oracle_of_table(table_of(followed, "users"))
    verifier.execute("update mirror.users set last_name = 'X' where id = 1007")
    expected, _ = sides.source.checksums(oracle)
    stored = sides.stores["serving"].checksums(oracle)
    (differing,) = [part for part in expected if expected[part] != stored[part]]
    rows = sides.stores["serving"].rows(oracle, Ranges([differing]))
    assert ("1007",) in rows
    assert len(rows) == expected[differing][0] < 20


@pytest.mark.parametrize("name", ["users", "follows"])
def test_a_table_is_compared_some_keys_at_a_time(
    followed: Any, sides: Sides, verifier: psycopg.Connection[Any], name: str
) -> None:
    with followed.source.connection.transaction():
        followed.sql("insert into follows (follower_id, followee_id) select 1001, n from generate_series(1002, 1050) n")
    followed.send()
    followed.project_until_done()
    verifier.execute("update readside.checkpoint set end_lsn = 'FFFFFFFF/0'")
    table = table_of(followed, name)
    assert is_sliced(table)
    whole = compare(sides, oracle_of_table(table))
    verifier.execute("update mirror.users set last_name = 'X' where id in (1003, 1004, 1499)")
    verifier.execute("delete from mirror.follows where followee_id in (1010, 1050)")
    verifier.execute("update mirror.follows set follower_id = 99999 where followee_id = 1020")
    parts, after = [], None
    while True:
        found = sides.source.select(*next_bound(table, after, 7))
        upto = [str(value) for value in found[0]] if found else None
        parts.append(compare(sides, oracle_of_table(table, after, upto)))
        if upto is None:
            break
        after = upto
    assert len(parts) > 5
    merged = together(parts)
    assert merged.rows == whole.rows
    assert merged.kinds == compare(sides, oracle_of_table(table)).kinds
    assert merged.kinds == ({"different": 3} if name == "users" else {"missing": 3, "unexpected": 1})


def test_what_the_reconciler_finds_is_noted_and_counted(
    followed: Any, shop_database: str, store_database: str, verifier: psycopg.Connection[Any]
) -> None:
    nobody = f"127.0.0.1:{free()[0]}"
    settings = Settings(
        source_dsn=SecretStr(shop_database),
        serving_dsn=SecretStr(store_database),
        queries_dsn=SecretStr(store_database),
        analytics_address=nobody,
        verify_interval_s=0.1,
        verify_share=1.0,
    )

    def noted(name: str) -> tuple[Any, ...] | None:
        if verifier.execute("select to_regclass('readside.verified')").fetchone() == (None,):
            return None
        return verifier.execute(
            "select rows, differences, found, repaired from readside.verified where name = %(name)s", {"name": name}
        ).fetchone()

    stop = threading.Event()
    thread = threading.Thread(target=Reconciler(settings, stop).run)
    thread.start()
    try:
        eventually(lambda: noted("mirror.users") == (503, 0, 0, 0), what=lambda: str(noted("mirror.users")))
        verifier.execute("update mirror.users set last_name = 'X' where id in (1003, 1004)")
        eventually(lambda: noted("mirror.users") == (503, 2, 2, 0), what=lambda: str(noted("mirror.users")))
        eventually(lambda: (noted("user_profile") or ())[1:] == (2, 2, 0), what=lambda: str(noted("user_profile")))
        verifier.execute("update mirror.users set last_name = 'B' where id in (1003, 1004)")
        eventually(lambda: noted("mirror.users") == (503, 0, 2, 2), what=lambda: str(noted("mirror.users")))
    finally:
        stop.set()
        thread.join()


def test_a_model_is_built_anew_with_the_rollups_that_it_reads(
    followed: Any, sides: Sides, verifier: psycopg.Connection[Any]
) -> None:
    (model,) = [model for model in SERVING if model.name == "user_profile"]
    oracle = oracle_of(model, "projectors.read_models")
    assert oracle is not None
    verifier.execute("update rollups.user_posts set post_count = post_count + 5")
    verifier.execute("update read_models.user_profile set document = document - 'email' where id = 1008")
    ask_rebuild(Settings(), verifier, ["user_profile"])
    followed.project_until_done()
    verifier.execute("update readside.checkpoint set end_lsn = 'FFFFFFFF/0'")
    followed.commit("update users set first_name = 'Z'")  # computes every row anew from its rollups
    followed.project_until_done()
    verifier.execute("update readside.checkpoint set end_lsn = 'FFFFFFFF/0'")
    assert compare(sides, oracle).kinds == {}
    with pytest.raises(Transient, match="another rebuild is under way"):
        for _ in range(2):
            ask_rebuild(Settings(), verifier, ["user_profile"])


def table_of(pipeline: Any, name: str) -> Any:
    return next(table for table in pipeline.tables if table.mirror == name)
