"""Values that PostgreSQL calls equal and writes otherwise are two: 1.0 and 1.00, citext a and A."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from projectors.read_model import Declarations, Embed, ReadModel
from projectors.rollup import Rollup
from projectors.serving.store import ServingStore
from projectors.verification.comparing import compare
from projectors.verification.oracles import SESSION, Recomputation
from projectors.verification.sides import Serving, Sides
from tests.projectors.conftest import Pipeline

PARTS = ReadModel(
    name="parts",
    comment="One row per part: its price, how long it is guaranteed, and its papers.",
    key=("code",),
    columns="code citext primary key, price numeric, guarantee interval, papers json",
    affected_by={"parts": "select code from changed"},
    query="select p.code, p.price, p.guarantee, p.papers from affected a join mirror.parts p on p.code = a.code",
    extensions=("citext",),
)

SALES = ReadModel(
    name="sales",
    comment="One row per sale: the part's price.",
    key=("id",),
    columns="id int primary key, code citext, price numeric",
    indexes=("code",),
    affected_by={
        "sales": "select id from changed",
        "read_models.parts": "select s.id from changed c join mirror.sales s on s.code = c.code",
    },
    query="""
        select s.id, s.code, p.price
          from affected a
          join mirror.sales s on s.id = a.id
          left join read_models.parts p on p.code = s.code
    """,
    embeds={"price": Embed(of="read_models.parts", column="price", by="code", key="code")},
    extensions=("citext",),
)

BY_CODE, BY_PRICE = (
    Rollup(
        name=f"by_{key}",
        comment=f"How many parts there are of a {key}.",
        of="parts",
        key=(key,),
        query=f"select {key}, count(*) as parts from changed group by {key}",
    )
    for key in ("code", "price")
)


@pytest.fixture
def shown(shop_database: str, store_database: str, tmp_path: Path) -> Any:
    """Commits statements, projects, and gives rows of the store, as text."""
    with psycopg.connect(shop_database, autocommit=True) as source:
        source.execute("""
            drop publication readside; create extension citext;
            create table parts (code citext primary key, price numeric, guarantee interval, papers json);
            create table sales (id int primary key, code citext);
            create publication readside for table parts, sales
        """)
    declared = Declarations(read_models=(SALES, PARTS), rollups=(BY_CODE, BY_PRICE))
    pipeline = Pipeline(
        shop_database, tmp_path, lambda tables, shapes: ServingStore(store_database, tables, declared, shapes=shapes)
    )

    def shown(query: str, *statements: str) -> list[Any]:
        pipeline.commit(*statements)
        pipeline.project().close()
        with psycopg.connect(store_database) as store:
            return store.execute(query).fetchall()  # pyright: ignore[reportArgumentType]

    yield shown
    pipeline.close()


def test_a_row_is_written_anew_as_the_source_writes_it(shown: Callable[..., list[Any]]) -> None:
    query = "select code::text, price::text, guarantee::text, papers::text from read_models.parts"
    first = shown(query, """insert into parts values ('a', 1.0, '1 day', '{"a": 1}')""")
    assert first == [("a", "1.0", "1 day", '{"a": 1}')]
    assert shown(query, "update parts set price = 1.00, guarantee = '24:00', code = 'A'") == [
        ("A", "1.00", "24:00:00", '{"a": 1}')
    ]
    assert shown(query, "update parts set papers = '[2]'") == [("A", "1.00", "24:00:00", "[2]")]


def test_a_copy_is_written_anew_too(shown: Callable[..., list[Any]]) -> None:
    query = "select id, price::text from read_models.sales order by id"
    shown(query, "insert into parts values ('a', 1.0)", "insert into sales values (1, 'a'), (2, 'A')")
    assert shown(query, "update parts set price = 1.00") == [(1, "1.00"), (2, "1.00")]


def test_an_equal_row_is_left_alone(shown: Callable[..., list[Any]]) -> None:
    query = "select xmin, code from read_models.parts"
    row = shown(query, """insert into parts values ('a', 1.50, '1 day', '{"a": 1}')""")
    assert shown(query, "update parts set price = 2.00", "update parts set price = 1.50") == row


def test_a_group_is_the_same_however_its_key_is_written(shown: Callable[..., list[Any]], store_database: str) -> None:
    query = "select price, parts from rollups.by_price"
    shown(query, "insert into parts values ('a', 1.0), ('b', 1.0)")
    assert shown(query, "update parts set code = upper(code::text), price = 1.00") == [(1, 2)]
    with psycopg.connect(store_database, autocommit=True, options=SESSION) as store:
        sides = Sides(None, {"serving": Serving(store)})  # pyright: ignore[reportArgumentType]

        def differences(rollup: Rollup) -> int:
            return compare(sides, Recomputation(rollup)).differences

        assert (differences(BY_CODE), differences(BY_PRICE)) == (0, 0)
        store.execute("update rollups.by_price set parts = 3; update rollups.by_code set code = 'z' where code = 'b'")
        assert (differences(BY_CODE), differences(BY_PRICE)) == (2, 1)
