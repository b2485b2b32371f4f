"""docs/analytics.md: its answers and charts are what the store answers, and it names what there is."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from config.settings import ENV_PREFIX, Settings
from projectors import registry
from projectors.analytics.store import AnalyticsStore
from stack.errors import StackError
from stack.guide.answers import DOCUMENT, answers, ask, stale
from stack.guide.shop import shop_store, told
from tests.databases import SHOP, Postgres, clone

TEXT = DOCUMENT.read_text()
#: CONTRACT.md, section 5.
TABLES = {
    *(
        "orders",
        "order_items",
        "customers",
        "products",
        "reviews",
        "order_status_changes",
        "daily_orders",
        "hourly_orders",
    ),
    *("product_sales", "customer_segments", "_readside"),
}


@pytest.fixture(scope="module")
def source(postgres: Postgres) -> Iterator[str]:
    yield from clone(postgres, SHOP, owner="shop_owner")


@pytest.fixture(scope="module")
def store(source: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnalyticsStore]:
    with shop_store(source, "readside", tmp_path_factory.mktemp("guide")) as store:
        yield store


def section(title: str) -> str:
    """The text under a heading of the document."""
    _, _, rest = TEXT.partition(f"\n## {title}\n")
    return rest.partition("\n## ")[0]


def test_the_document_and_its_charts_are_fresh(store: AnalyticsStore) -> None:
    assert stale(store) == [], "run: python -m stack.guide"


def test_an_answer_that_changed_is_noticed_and_so_is_the_picture_of_an_older_one(
    store: AnalyticsStore, tmp_path: Path
) -> None:
    document, charts = tmp_path / DOCUMENT.name, tmp_path / DOCUMENT.stem
    shutil.copytree(DOCUMENT.with_suffix(""), charts)
    document.write_text(TEXT.replace("Milk Frother  ", "Milk Froth    "))
    older = charts / "cohorts.svg"
    older.write_text(re.sub(r"sha256:\w{8}", "sha256:00000000", older.read_text()))
    (charts / "orders-by-hour.svg").unlink()
    assert stale(store, document) == [document, charts / "orders-by-hour.svg", older]


def test_a_question_has_room_for_its_answer(store: AnalyticsStore) -> None:
    with pytest.raises(StackError, match="1 blocks of SQL, and 0 of them"):
        answers("```sql\nselect 1\n```\n\nthus one.\n", store)


def test_a_question_that_is_refused_is_named(store: AnalyticsStore) -> None:
    with pytest.raises(StackError, match="refused with 403: only select"):
        ask(store, "drop table orders")


def test_there_are_ten_questions_and_some_have_pictures() -> None:
    questions = re.findall(r"^### \d+\. .*\?$", section("Ten questions"), re.MULTILINE)
    assert len(questions) >= 10
    assert section("Ten questions").count("\n```sql\n") == len(questions)
    pictures = re.findall(r"\(analytics/([\w-]+\.svg)\)", TEXT)
    assert len(pictures) >= 2
    assert {path.name for path in DOCUMENT.with_suffix("").iterdir()} == set(pictures)
    assert all(path.stat().st_size < 60_000 for path in DOCUMENT.with_suffix("").iterdir())


def test_it_lists_every_table() -> None:
    declared = registry.load("projectors.read_models").of_store("analytics")
    names = {model.name for model in (*declared.read_models, *declared.histories)} | TABLES
    assert set(re.findall(r"^(\w+)  +[A-Z]", section("What there is"), re.MULTILINE)) == names


def test_every_setting_it_names_exists_and_has_the_default_that_it_says() -> None:
    named = {name.removeprefix(ENV_PREFIX).lower() for name in re.findall(rf"{ENV_PREFIX}[A-Z_]+", TEXT)}
    assert named <= set(Settings.model_fields)
    limits = dict(re.findall(rf"^\| .* \| ([\d,]+)[^|]* \| .* \| `{ENV_PREFIX}(\w+)` \|$", TEXT, re.MULTILINE))
    said = {name.lower(): int(number.replace(",", "")) for number, name in limits.items()}
    units = {"sql_memory": 1 << 20, "sql_bytes": 1 << 20, "body_limit_bytes": 1 << 10}
    assert len(said) == 7
    assert {name: number * units.get(name, 1) for name, number in said.items()} == {
        name: Settings.model_fields[name].default for name in said
    }


def test_the_shop_is_one_that_the_write_database_would_hold(source: str) -> None:
    transactions, _ = told()
    rows: dict[str, dict[bytes, Any]] = {}
    for change in (change for transaction in transactions for change in transaction.changes):
        assert change.key is not None and change.row is not None
        rows.setdefault(change.table.removeprefix("public."), {})[change.key] = json.loads(change.row)
    with psycopg.connect(source) as connection:
        for table in ("sellers", "categories", "products", "users", "orders", "order_items", "reviews"):
            insert = SQL("insert into {0} select * from json_populate_record(null::{0}, %s)").format(Identifier(table))
            connection.cursor().executemany(insert, [(json.dumps(plain(row)),) for row in rows[table].values()])
        counted = connection.execute("select count(*), count(distinct status) from orders").fetchone()
        connection.rollback()
    assert counted == (len(rows["orders"]), 5)


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row of Debezium's as PostgreSQL reads JSON."""
    if "estimated_delivery" in row:
        row["estimated_delivery"] = "2026-06-01"
    return row | {name: json.loads(row[name]) for name in ("shipping_address", "discounts") if name in row}
