"""The writer answers as its OpenAPI document says, whatever it is sent."""

from __future__ import annotations

import psycopg
from pydantic import SecretStr

from config.settings import Settings
from tests.conformance import conforms
from tests.tokens import SECRET, bearer
from tests.writer.harness import Shop, serving


def test_answers_are_as_documented(shop_database: str, writer_dsn: str) -> None:
    settings, headers = Settings(auth="jwt", jwt_key=SecretStr(SECRET)), bearer("operator")
    with serving(settings, writer_dsn) as url, psycopg.connect(shop_database, autocommit=True) as db:
        shop = Shop(url, db)
        shop.http.headers.update(headers)
        for name in ("ada", "bob", "eve"):
            user, product = shop.user(name), shop.product(name)
            post = shop.does("POST", "/posts", {"author_id": user, "title": "t", "body": "b"})["id"]
            shop.does("POST", f"/posts/{post}/comments", {"author_id": user, "body": "b"})
            shop.does("POST", "/reviews", {"product_id": product, "user_id": user, "rating": 5, "body": "x" * 10})
            shop.does("POST", "/orders", shop.order(user, (product, 1)))
        document = shop.http.get("/openapi.json").json()
        conforms(url, document, headers=headers, may_be_503=frozenset())
        shop.http.close()
