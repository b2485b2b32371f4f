"""A published copy is made of the last one and of what the store notes as new: whatever happens, it is what the store is."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from projectors.analytics import copying, refresh, unpublished
from projectors.analytics.copying import Base, DifferentError
from projectors.declaration import TAKEN, DeclarationError
from projectors.read_model import Declarations, ReadModel
from projectors.read_models import DECLARATIONS
from projectors.refusal import Undo
from tests.copies import Copies
from tests.shop import Shop

AT = "2026-02-03T04:05:06Z"


@pytest.fixture
def copies(tmp_path: Path) -> Copies:
    return Copies(tmp_path / "live.duckdb")


@pytest.fixture
def shop(shop_database: str, tmp_path: Path, copies: Copies) -> Iterator[Shop]:
    """With two orders; nothing is published yet."""
    with closing(Shop(shop_database, tmp_path, DECLARATIONS.of_store("analytics"), copies.unpublished)) as shop:
        with shop.committing():
            shop.put(1, 1, "pending", "5.00", AT, (1, 2, "2.50"))
            shop.put(2, 2, "pending", "5.00", AT, (1, 1, "2.50"), (2, 1, "2.50"))
        yield shop


def noted(shop: Shop) -> dict[str, int]:
    """How many keys are noted, by read model."""
    with closing(shop.store.cursor()) as store:
        names = store.execute("select table_name from duckdb_tables() where schema_name = 'unpublished'").fetchall()
        counts = {name: store.execute(f'select count(*) from unpublished."{name}"').fetchone()[0] for (name,) in names}
    return {name: count for name, count in counts.items() if count}


def test_after_the_first_one_only_rows_that_changed_are_written(shop: Shop, copies: Copies) -> None:
    copies.publish()
    assert {"orders", "order_items", "order_status_changes"} <= set(copies.written)
    with shop.committing():
        shop.put(1, 1, "paid", "5.00", AT, (1, 2, "2.50"))
        shop.put(3, 3, "pending", "7.00", AT, (3, 7, "1.00"))
    with shop.committing():
        shop.drop(2)
    assert noted(shop)["orders"] == 3
    copies.publish()
    assert copies.written == []
    with duckdb.connect(copies.target) as published:
        told = published.execute("select order_id, status from order_status_changes order by end_lsn, place").fetchall()
        assert sorted(told) == [(1, "paid"), (1, "pending"), (2, "pending"), (3, "pending")]
        assert published.execute("select id, status from orders order by id").fetchall() == [
            (1, "paid"),
            (3, "pending"),
        ]


def test_nothing_new_leaves_it_as_it_is(shop: Shop, copies: Copies) -> None:
    copies.publish()
    copies.publish()
    assert copies.written == []


def test_what_was_published_is_noted_no_more(shop: Shop, copies: Copies) -> None:
    copies.publish()
    with shop.committing():
        shop.put(1, 1, "paid", "5.00", AT)
    assert noted(shop)["orders"] == 1, "the two of before the first copy are forgotten with the next batch"
    copies.publish()
    with shop.committing():
        shop.put(2, 2, "paid", "5.00", AT)
    assert noted(shop)["orders"] == 1


def test_after_one_that_failed_the_next_is_written_whole_and_what_it_lacks_is_noted_no_more(
    shop: Shop, copies: Copies
) -> None:
    copies.publish()
    for _ in range(3):
        with shop.committing():
            shop.put(1, 1, "paid", "5.00", AT)
        copies.publish(fails=True)
    with shop.committing():
        shop.drop(2)
    assert noted(shop)["orders"] == 1, "for who makes copies has no base: notes of before would only pile up"
    copies.publish()
    assert "order_items" in copies.written
    with shop.committing():
        shop.put(1, 1, "shipped", "5.00", AT)
    copies.publish()
    assert copies.written == []


def test_many_keys_are_not_noted_but_the_table_is_written_anew(
    shop: Shop, copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies.publish()
    monkeypatch.setattr(unpublished, "_MOST_KEYS", 1)
    for status in ("paid", "shipped", "delivered"):  # a batch each, and each of one key
        with shop.committing():
            shop.put(1, 1, status, "5.00", AT, (1, 2, "2.50"))
    assert noted(shop)["orders"] == 1, "the first batch's alone"
    copies.publish()
    assert "orders" in copies.written and "order_status_changes" not in copies.written


def test_a_table_of_which_many_rows_changed_is_written_anew(shop: Shop, copies: Copies) -> None:
    copies.publish()
    copies.most_exchanged = 0.1
    with shop.committing():
        shop.put(1, 1, "paid", "5.00", AT, (1, 2, "2.50"))
        shop.put(2, 2, "paid", "5.00", AT, (1, 1, "2.50"), (2, 1, "2.50"))
    copies.publish()
    assert "orders" in copies.written


def test_what_a_transaction_noted_that_was_rolled_back_is_noted_by_the_next(shop: Shop, copies: Copies) -> None:
    copies.publish()
    connection = shop.store._connection
    for undone in (True, False):
        with suppress(Undo), shop.store._transaction():
            copies.unpublished.note_all(connection, "orders")
            if undone:
                raise Undo
    copies.publish()
    assert copies.written == ["orders"]


def test_what_is_computed_anew_is_written_anew(shop: Shop, copies: Copies) -> None:
    copies.publish()
    assert shop.store.rebuilds.ask(["customers"]) and shop.store.attend()
    copies.publish()
    assert "customers" in copies.written and "orders" not in copies.written


def test_a_copy_that_would_differ_is_not_published(shop: Shop, copies: Copies) -> None:
    copies.publish()
    with closing(shop.store.cursor()) as store:
        store.execute("delete from orders where id = 2")  # behind everybody's back
    before = copies.target.stat()
    with pytest.raises(DifferentError, match="orders would have 2 rows instead of 1"):
        copies.publish()
    assert copies.target.stat() == before


def test_a_log_that_somebody_left_beside_it_is_removed(shop: Shop, copies: Copies) -> None:
    copies.publish()
    with duckdb.connect(copies.target) as published:
        published.execute("pragma disable_checkpoint_on_shutdown")
        published.execute("delete from orders")
    log = copies.target.with_name(copies.target.name + ".wal")
    assert log.exists(), "whoever opens the file, and whatever lies under its name then, sees no orders"
    with shop.committing():
        shop.put(1, 1, "paid", "5.00", AT)
    copies.publish()
    assert not log.exists()
    with duckdb.connect(copies.target) as published:
        assert published.execute("select id, status from orders order by id").fetchall() == [
            (1, "paid"),
            (2, "pending"),
        ]


def test_a_base_that_is_written_to_while_it_is_copied_is_none(
    shop: Shop, copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies.publish()
    with shop.committing():
        shop.put(1, 1, "paid", "5.00", AT)
    copyfile = shutil.copyfile

    def meanwhile(source: Path, target: Path) -> None:
        if source == copies.target:
            with duckdb.connect(source) as published:
                published.execute("update orders set status = 'mine' where id = 2")
        copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", meanwhile)
    with pytest.raises(DifferentError, match="somebody wrote to it"):
        copies.publish()


def paid(key: str, columns: str, query: str) -> ReadModel:
    """One of the orders' ``key``s."""
    return ReadModel(
        name="paid",
        key=(key,),
        columns=columns,
        affected_by={"orders": f'select "{key}" from changed'},
        query=query,
        comment="An order that somebody pays.",
        store="analytics",
    )


@pytest.mark.parametrize(
    ("key", "columns"),
    [
        ("status", "status enum('pending', 'paid') primary key, orders bigint not null"),
        ("id", "id tinyint primary key, orders bigint not null"),
    ],
)
def test_a_key_that_the_column_cannot_hold_stops_nobody(
    shop_database: str, tmp_path: Path, copies: Copies, key: str, columns: str
) -> None:
    query = (
        f"select a.{key}, count(*) as orders from affected a join mirror.orders o on o.{key} = a.{key} "
        f"where o.status in ('pending', 'paid') and o.id < 100 group by all"
    )
    declarations = Declarations(read_models=(paid(key, columns, query),))
    with closing(Shop(shop_database, tmp_path, declarations, copies.unpublished)) as shop:
        for id, status in ((1, "pending"), (1, "paid"), (1_000, "cancelled")):
            with shop.committing():
                shop.put(id, 1, status, "5.00", AT)
            copies.publish()


def test_a_key_may_be_called_as_the_number_of_a_copy_is(shop_database: str, tmp_path: Path, copies: Copies) -> None:
    query = 'select a."Copy", o.status from affected a join mirror.orders o on o.id = a."Copy"'
    model = replace(
        paid("Copy", '"Copy" bigint primary key, status varchar', query),
        affected_by={"orders": "select id from changed"},
    )
    with closing(Shop(shop_database, tmp_path, Declarations(read_models=(model,)), copies.unpublished)) as shop:
        with shop.committing():
            shop.put(1, 1, "pending", "5.00", AT)
        copies.publish()
        under_way = copies.unpublished.copied()
        with shop.committing():
            shop.put(1, 1, "paid", "5.00", AT)
        copies.unpublished.settled(under_way)
        with shop.committing():
            shop.put(2, 1, "paid", "5.00", AT)
        copies.publish()


def test_a_row_without_a_key_is_not_stored(shop_database: str, tmp_path: Path, copies: Copies) -> None:
    query = (
        "select nullif(a.status, 'pending') as status, count(*) as n "
        "from affected a join mirror.orders o using (status) group by all"
    )
    model = paid("status", "status varchar, n bigint not null", query)
    with closing(Shop(shop_database, tmp_path, Declarations(read_models=(model,)), copies.unpublished)) as shop:
        for id, status in ((1, "pending"), (2, "pending"), (1, "paid")):
            with shop.committing():
                shop.put(id, 1, status, "5.00", AT)
            copies.publish()
        with closing(shop.store.cursor()) as stored:
            assert stored.execute("from main.paid").fetchall() == [("paid", 1)]


def test_no_declared_table_is_called_as_one_that_the_store_works_with() -> None:
    made = re.compile(r"temporary table (\w+) as|_ma[dk]e\(\s*(?:connection,\s*)?\"(\w+)\"|register\(\"(\w+)\"")
    text = "".join(file.read_text() for file in Path(refresh.__file__).parent.glob("*.py"))
    assert {name for found in made.findall(text) for name in found if name} == TAKEN
    with pytest.raises(DeclarationError, match="'keys' is what the analytics store calls a table it works with"):
        replace(
            paid("id", "id bigint primary key", "select id from affected join mirror.orders using (id)"), name="keys"
        )


def test_one_that_was_written_to_or_has_grown_is_no_base(tmp_path: Path) -> None:
    target = tmp_path / "analytics.duckdb"
    target.write_bytes(b"x" * 100)
    base = Base(number=1, signature=copying._signature(target), whole_bytes=50)
    assert base.fits(target)
    assert not Base(number=1, signature=base.signature, whole_bytes=49).fits(target)
    target.write_bytes(b"y" * 100)
    assert not base.fits(target)
    target.unlink()
    assert not base.fits(target)
