"""A published copy is made of the last one and of what the store notes as new: whatever happens, it is what the store is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from projectors.analytics import copying, unpublished
from projectors.analytics.copying import Base, DifferentError
from projectors.read_models import DECLARATIONS
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


def test_what_a_copy_that_failed_was_to_have_is_in_the_next(shop: Shop, copies: Copies) -> None:
    copies.publish()
    with shop.committing():
        shop.put(1, 1, "paid", "5.00", AT)
    copies.publish(fails=True)
    with shop.committing():
        shop.drop(2)
    copies.publish()
    assert copies.written == []


def test_many_keys_are_not_noted_but_the_table_is_written_anew(
    shop: Shop, copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies.publish()
    monkeypatch.setattr(unpublished, "_MOST_KEYS", 1)
    with shop.committing():
        shop.put(1, 1, "paid", "5.00", AT, (1, 2, "2.50"))
        shop.put(2, 2, "paid", "5.00", AT, (1, 1, "2.50"))
    copies.publish()
    assert "orders" in copies.written and "order_status_changes" not in copies.written


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
