"""What the query server must answer, by SQL on the source alone; and what it does answer, read page by page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import psycopg

from tests import sold
from tests.sold import Range

ORACLES = Path(__file__).parents[2] / "projectors" / "read_models" / "oracles"

_POST_ORDER = "order by (document->>'published_at') collate \"C\" desc, id desc"
_ORDER_ORDER = 'order by placed_at collate "C" desc, id desc'
#: Word by word, as a reader would: it begins one of the words of the number, the name or the items.
_FOUND = """(select bool_and(exists (
    select from regexp_split_to_table(lower(o.number || ' ' || u.first_name || ' ' || u.last_name || ' ' ||
                                            coalesce((select string_agg(i.name, ' ') from order_items i
                                                       where i.order_id = o.id), '')), ' ') has
     where starts_with(has, wanted)))
   from regexp_split_to_table(lower(%(search)s), ' ') wanted)"""


class Source:
    """The write database at one moment, when nobody writes."""

    def __init__(self, dsn: str, orders_after: int = 0) -> None:
        self._connection, self._orders_after = psycopg.connect(dsn), orders_after

    def close(self) -> None:
        self._connection.close()

    def ids(self, table: str) -> list[str]:
        """Every id of a table."""
        return [str(id) for (id,) in self._rows(f"select id from {table} order by id")]

    def documents(self, model: str) -> dict[str, Any]:
        """Every document of a read model, by id."""
        return {str(id): document for id, document in self._rows(f"select id, document from ({expected(model)}) m")}

    def statuses(self) -> dict[str, str]:
        """Every order's status, by id."""
        return {str(id): status for id, status in self._rows("select id, status from orders")}

    def new_statuses(self) -> dict[str, str]:
        """The status of every order made after that id: of earlier ones another test may have taken changes away."""
        new = "select id, status from orders where id > %(id)s"
        return {str(id): status for id, status in self._rows(new, {"id": self._orders_after})}

    def orders(self, where: str = "true", **values: Any) -> list[Any]:
        """Orders as lists show them, newest first; ``where`` is over ``orders o`` and ``users u``."""
        return self._documents(
            "order_list_item",
            f"id in (select o.id from orders o join users u on u.id = o.user_id where {where}) {_ORDER_ORDER}",
            values,
        )

    def found(self, search: str) -> list[Any]:
        """Orders that have every word, newest first."""
        return self.orders(_FOUND, search=search)

    def products(self, sort: str, category: str | None = None) -> list[Any]:
        """Products as lists show them."""
        order = {
            "rating": "(select avg(rating)::numeric(3, 2) from reviews where product_id = m.id) desc nulls last, id",
            "price": "m.price::numeric, id",
            "newest": 'm.created_at collate "C" desc, id desc',
        }[sort]
        where = "true" if category is None else "category_id = %(category)s"
        return self._documents("product_card", f"{where} order by {order}", {"category": category})

    def posts(self, where: str = "true", **values: Any) -> list[Any]:
        """Posts as lists show them, newest first."""
        return self._documents("post_list_item", f"{where} {_POST_ORDER}", values)

    def feed(self, user: str) -> list[Any]:
        """The posts of those whom a user follows, newest first."""
        return self.posts("author_id in (select followee_id from follows where follower_id = %(user)s)", user=user)

    def comments(self, post: str) -> list[Any]:
        """The comments under a post, oldest first."""
        return self._documents(
            "comment_list_item", 'post_id = %(post)s order by created_at collate "C", id', {"post": post}
        )

    def summary(self, within: Range) -> dict[str, Any]:
        """What the shop sold in a range of time: the summary's members."""
        return sold.summary(self._connection, within)

    def hours(self, within: Range) -> list[Any]:
        """The same by the hour."""
        return sold.hours(self._connection, within)

    def one(self, query: str) -> Any:
        """The one value of a query."""
        ((value,),) = self._rows(query)
        return value

    def _documents(self, model: str, rest: str, values: dict[str, Any]) -> list[Any]:
        return [row[0] for row in self._rows(f"select document from ({expected(model)}) m where {rest}", values)]

    def _rows(self, query: str, values: dict[str, Any] | None = None) -> list[Any]:
        return self._connection.execute(query, values or None).fetchall()  # pyright: ignore[reportArgumentType]


def expected(model: str) -> str:
    """The source's side of a read model's oracle."""
    _, of_source, _ = re.split(r"^-- (?:expected|stored)$", (ORACLES / f"{model}.sql").read_text(), flags=re.MULTILINE)
    return of_source


class Reader:
    """The query server, as its callers see it; what it answers must be what its OpenAPI document says."""

    def __init__(self, address: str) -> None:
        self._http = httpx.Client(base_url=f"http://{address}", timeout=20.0, trust_env=False)
        document = self._http.get("/openapi.json").raise_for_status().json()
        self._described = [
            (re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), _schemas(document, methods["get"]))
            for path, methods in document["paths"].items()
            if "get" in methods
        ]

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **parameters: Any) -> Any:
        """One answer's body; it must be a success."""
        answer = self._http.get(path, params=parameters)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:300]}"
        body = answer.json()
        ((schema, components),) = [schemas for pattern, schemas in self._described if pattern.fullmatch(path)]
        assert schema, f"{path} is not described"
        validator: Any = jsonschema.Draft202012Validator(schema | components, format_checker=jsonschema.FormatChecker())
        for error in validator.iter_errors(body):
            raise AssertionError(f"{path} is not as described: {error.json_path}: {error.message[:300]}")
        return body

    def sql(self, statement: str) -> list[Any]:
        """The rows of a statement on the analytics store."""
        return self._http.post("/sql", json={"sql": statement}).raise_for_status().json()["rows"]

    def all(self, path: str, limit: int = 100, **parameters: Any) -> list[Any]:
        """Every item of a list, over its pages."""
        return [item for page in self._pages(path, limit, parameters) for item in page]

    def _pages(self, path: str, limit: int, parameters: dict[str, Any]) -> Iterator[Sequence[Any]]:
        page = self.get(path, limit=limit, **parameters)
        yield page["items"]
        while page["next_cursor"] is not None:
            page = self.get(path, limit=limit, cursor=page["next_cursor"], **parameters)
            yield page["items"]


def _schemas(document: Any, described: Any) -> tuple[Any, Any]:
    """The schema of a route's JSON answer, empty for none, and what it refers to."""
    content = described["responses"]["200"]["content"]
    return content.get("application/json", {}).get("schema", {}), {"components": document["components"]}
