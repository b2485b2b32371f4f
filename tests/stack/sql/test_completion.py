"""What Tab offers, and in which order."""

from __future__ import annotations

from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from stack.sql.asking import Freshness
from stack.sql.catalog import Catalog, Column, Table
from stack.sql.completion import SqlCompleter, candidates
from stack.sql.session import COMMANDS, VALUES


def a_table(name: str, *columns: str) -> Table:
    return Table(name, f"About {name}.", [Column(column, "VARCHAR", None) for column in columns])


CATALOG = Catalog(
    {
        table.name: table
        for table in (
            a_table("customers", "id", "city", "created_at"),
            a_table("orders", "id", "currency", "customer_id"),
            a_table("Order Lines", "sku", "order"),
        )
    },
    Freshness(as_of=None, lag_ms=None),
)


def offered(before: str, after: str = "") -> list[str]:
    return [candidate.text for candidate in candidates(before, after, CATALOG)]


def test_columns_of_the_tables_that_the_statement_names_come_first() -> None:
    found = offered("select c", " from orders")
    assert found[:4] == ["currency", "customer_id", "customers", "case"]
    assert found[-2:] == ["city", "created_at"]  # of another table: last


def test_only_the_own_statement_names_tables() -> None:
    assert offered("select 1 from customers; select c", " from orders; select 2 from customers")[:2] == [
        "currency",
        "customer_id",
    ]


def test_a_qualifier_leaves_its_own_columns() -> None:
    for before in ("from orders o join customers as c on o.", "from orders o where orders."):
        assert offered(before) == ["id", "currency", "customer_id"]
    assert offered("select c.ci", " from orders o join customers as c") == ["city"]
    assert offered("select x.", " from orders o") == []


def test_after_from_there_are_only_tables() -> None:
    assert offered("select 1 from ") == ["customers", "orders", '"Order Lines"']
    assert offered("select 1 from ORD") == ["orders", '"Order Lines"']


def test_names_that_need_it_are_quoted() -> None:
    assert offered('select "o', ' from "Order Lines"')[0] == '"order"'
    assert offered('select 1 from "Ord') == ["orders", '"Order Lines"']


def test_words_are_written_as_they_are_begun() -> None:
    assert offered("SEL") == ["SELECT"]
    assert offered("sel") == ["select"]
    assert "date_trunc(" in offered("select date_")


def test_nothing_is_offered_in_quotations_and_comments() -> None:
    assert offered("select 'c") == offered("select 1 -- c") == offered("select /* c") == offered("select $$c") == []


def test_commands_and_what_they_take() -> None:
    completer = SqlCompleter(lambda: CATALOG, COMMANDS, dict(VALUES))

    def completed(text: str) -> list[str]:
        return [found.text for found in completer.get_completions(Document(text), CompleteEvent())]

    assert completed("\\") == list(COMMANDS)
    assert completed("\\f") == ["format"]
    assert completed("\\format m") == ["markdown"]
    assert completed("\\d o") == ["orders"]
    assert completed("select curr") == ["current", "current_date(", "currency"]
