"""What ``verify`` has to judge by: oracles, a model's own query where there is none, and the mirrored tables themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from projectors.read_models import DECLARATIONS
from projectors.verification.comparing import Difference, _recompute  # pyright: ignore[reportPrivateUsage]
from projectors.verification.oracles import SESSION, Recomputation, oracle_of, oracle_of_table, recomputing
from projectors.verification.sides import Serving
from tests.operations import SEED

SERVING = DECLARATIONS.of_store("serving").read_models
ANALYTICS = DECLARATIONS.of_store("analytics").read_models


@pytest.mark.parametrize("model", DECLARATIONS.read_models, ids=lambda model: model.name)
def test_every_model_of_the_reference_application_has_an_oracle(model: Any) -> None:
    assert oracle_of(model, "projectors.read_models") is not None


def test_the_serving_stores_models_computed_anew(serving: Any, store_database: str) -> None:
    serving.commit(SEED)
    serving.project_until_done()
    with psycopg.connect(store_database, autocommit=True) as store:
        reader = Serving(store)
        before = {model.name: _recompute(reader, Recomputation(model)) for model in SERVING}
        assert {name: verdict.differences for name, verdict in before.items()} == dict.fromkeys(before, 0)
        assert (before["product_page"].rows, before["following"].rows) == (2, 2)
        store.execute("update read_models.product_page set document = document - 'name' where id = 1")
        store.execute("delete from read_models.following where follower_id = 1")
        store.execute("update read_models.post_list_item set id = 77")
        after = {model.name: _recompute(reader, Recomputation(model)) for model in SERVING}
    assert {name: (dict(v.kinds), v.first) for name, v in after.items() if v.differences} == {
        "product_page": ({"different": 1}, (Difference((1,), "different", ("document",)),)),
        "following": ({"missing": 1}, (Difference((1, 2), "missing"),)),
        "post_list_item": (
            {"missing": 1, "unexpected": 1},
            (Difference((1,), "missing"), Difference((77,), "unexpected")),
        ),
    }


def test_the_analytics_stores_models_computed_anew(analytics: Any, tmp_path: Path) -> None:
    analytics.commit(SEED)
    analytics.project_until_done()
    with duckdb.connect(tmp_path / "live.duckdb") as store:

        def wrong() -> dict[str, list[str]]:
            return {model.name: kinds for model in ANALYTICS if (kinds := _wrong(store, model))}

        assert wrong() == {}
        store.execute("update orders set total = total + 1 where id = 1")
        store.execute("delete from customers where id = 2")
        assert wrong() == {"orders": ["different"], "customers": ["missing"]}


def _wrong(store: duckdb.DuckDBPyConnection, model: Any) -> list[str]:
    columns = store.execute(
        "select column_name, data_type from duckdb_columns() where schema_name = 'main' and table_name = $name",
        {"name": model.name},
    ).fetchall()
    found = store.execute(recomputing(model, dict(columns))).fetchall()
    return [row[-2] for row in found if row[-2] is not None]


def test_mirrored_tables_are_compared_whatever_the_sessions_say(
    serving: Any, shop_database: str, store_database: str
) -> None:
    serving.commit(SEED)
    serving.project_until_done()
    with psycopg.connect(shop_database, autocommit=True) as owner:
        owner.execute(
            SQL("alter database {0} set timezone = 'Asia/Tokyo'; alter database {0} set datestyle = 'German'").format(
                Identifier(owner.info.dbname)
            )
        )
    oracles = {table.mirror: oracle_of_table(table) for table in serving.tables}
    with (
        psycopg.connect(shop_database, options=SESSION) as source,
        psycopg.connect(store_database, options=SESSION) as store,
    ):
        for name, oracle in oracles.items():
            assert _sorted(source, oracle.expected) == _sorted(store, oracle.stored), name
        store.execute("update mirror.users set created_at = created_at + interval '1 microsecond' where id = 1")
        assert _sorted(source, oracles["users"].expected) != _sorted(store, oracles["users"].stored)


def _sorted(connection: Any, query: str) -> list[Any]:
    return sorted(connection.execute(query).fetchall())
