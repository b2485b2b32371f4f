"""Two versions of a read model compared: what is added, removed and changed, and in which columns."""

from __future__ import annotations

import psycopg
import pytest

from projectors.serving.comparison import Difference, compare


@pytest.fixture
def two(store_database):
    """Makes the two versions, of such columns and rows."""
    with psycopg.connect(store_database, autocommit=True) as connection:
        connection.execute("create schema read_models")

        def made(columns: str, old: str, new: str, new_columns: str = ""):
            connection.execute(f"create table read_models.page ({columns})")
            connection.execute(f"create table read_models.page__next ({new_columns or columns})")
            connection.execute(f"insert into read_models.page values {old}")
            connection.execute(f"insert into read_models.page__next values {new}")
            return lambda *key: compare(connection, "page", "page", "page__next", key)

        yield made


def test_rows_that_are_written_alike_are_the_same(two):
    found = two("id int primary key, n numeric, j jsonb", "(1, 2.50, '{\"a\": 1.0}')", "(1, 2.50, '{\"a\":1.0}')")("id")
    assert found.same and (found.rows_old, found.rows_new) == (1, 1)


def test_a_value_that_is_written_otherwise_differs_though_it_is_equal(two):
    found = two("id int primary key, n numeric, j jsonb", "(1, 2.50, '[1.0]')", "(1, 2.5, '[1.00]')")("id")
    assert found.columns == {"n": 1, "j": 1}


def test_each_kind_is_counted_and_the_columns_of_what_changed(two):
    found = two(
        "id int, part text, a int, b json, primary key (id, part)",
        "(1, 'x', 1, '1'), (2, 'x', 1, '1'), (3, 'x', 1, null), (4, 'x', 1, '1')",
        "(1, 'x', 1, '1'), (2, 'x', 2, '2'), (3, 'x', null, null), (5, 'x', 1, '1')",
    )("id", "part")
    assert found.kinds == {"added": 1, "removed": 1, "changed": 2}
    assert found.columns == {"a": 2, "b": 1}
    assert found.first == (
        Difference(key=("2", "x"), kind="changed", columns=("a", "b")),
        Difference(key=("3", "x"), kind="changed", columns=("a",)),
        Difference(key=("4", "x"), kind="removed", columns=()),
        Difference(key=("5", "x"), kind="added", columns=()),
    )


def test_columns_that_only_one_has_are_named_and_other_types_compared_as_text(two):
    found = two("id int primary key, a int, b int", "(1, 1, 1)", "(1, '1', 1)", "id int primary key, a text, c int")(
        "id"
    )
    assert (found.only_old, found.only_new, found.columns) == (("b",), ("c",), {})
    assert not found.same


def test_rows_of_different_keys_are_only_counted(two):
    found = two("id int primary key, a int", "(1, 1), (2, 1)", "(1, 1)", "id int, a int primary key")("a")
    assert found.kinds is None and (found.rows_old, found.rows_new) == (2, 1) and not found.same


def test_a_model_of_nothing_but_its_key(two):
    found = two("id int primary key", "(1)", "(2)")("id")
    assert found.kinds == {"added": 1, "removed": 1, "changed": 0}


def test_a_version_of_another_key_is_only_counted(two):
    found = two("id int primary key, a int", "(1, 1)", "(1, 1), (2, 1)", "number int primary key, a int")("id")
    assert found.kinds is None and (found.rows_old, found.rows_new) == (1, 2)
