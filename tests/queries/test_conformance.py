"""The query server answers as its OpenAPI document says, whatever it is asked."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from config.settings import Settings
from tests.conformance import conforms
from tests.queries.harness import Projector, serving
from tests.tokens import SECRET, bearer

AT = "2026-01-01T00:00:00Z"
SELLER = '{"id": "1", "name": "Mill", "reputation": null, "review_count": 0, "product_count": 1}'


def document_of(described: Any, name: str) -> Any:
    """A document of a schema of the OpenAPI document."""
    return sample(described["components"]["schemas"][name], described)


def sample(schema: Any, described: Any) -> Any:
    """Something that a schema allows, as far as the schemas of answers go."""
    if "$ref" in schema:
        return document_of(described, schema["$ref"].rpartition("/")[2])
    if "examples" in schema:
        return schema["examples"][0]
    if "enum" in schema or "const" in schema:
        return schema.get("const", *schema.get("enum", [None])[:1])
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], described)
    match schema.get("type"):
        case "object":
            return {name: sample(member, described) for name, member in schema.get("properties", {}).items()}
        case "array":
            return [sample(schema["items"], described)] if schema["items"] else []
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return True
        case _:
            return {"date": "2026-01-01", "date-time": AT}.get(schema.get("format", ""), "text")


@pytest.mark.usefixtures("orders")
def test_answers_are_as_documented(projector: Projector, settings: Settings) -> None:
    rows: dict[str, tuple[str, dict[str, Any]]] = {
        "user_profile": ("UserProfile", {"version": 1}),
        "order_details": ("OrderDetails", {"version": 1, "user_id": 1}),
        "order_list_item": ("OrderListItem", {"user_id": 1, "status": "paid", "placed_at": AT, "search": "a"}),
        "product_page": ("ProductPage", {"version": 1, "seller": SELLER}),
        "product_card": ("ProductCard", {"category_id": 1, "price": "1", "rating_falling": 0, "created_at": AT}),
        "post_with_comments": ("PostWithComments", {"version": 1}),
        "post_list_item": ("PostListItem", {"author_id": 1, "published_at": AT}),
        "comment_list_item": ("Comment", {"post_id": 1, "created_at": AT}),
    }
    changes = {"auth": "jwt", "jwt_key": SecretStr(SECRET), "token_wait_s": 0.01, "token_wait_max_s": 0.01}
    with serving(settings.model_copy(update=changes)) as api:
        url, document = str(api.http.base_url), api.get("/openapi.json").json()
        del document["paths"]["/events"]  # its answer has no end; tests/queries/test_events.py
        for id in (1, 2, 3):
            for table, (name, columns) in rows.items():
                projector.put(table, id=id, document=document_of(document, name), **columns)
        conforms(url, document, headers=bearer("operator"), may_be_503=frozenset({"stale-read"}))
