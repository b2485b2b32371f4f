"""Users and follows."""

from __future__ import annotations

from tests.writer.harness import Shop

ADA = {"email": "ada@example.org", "first_name": "Ada", "last_name": "Lovelace"}


def test_a_user_is_registered_with_a_display_name(shop: Shop) -> None:
    assert shop.does("POST", "/users", ADA) == {"id": "1", "version": 1, "status": "active"}
    assert shop.rows("select email, display_name, loyalty_tier from users") == [
        ("ada@example.org", "Ada Lovelace", "bronze")
    ]


def test_a_wrong_registration_is_refused(shop: Shop) -> None:
    shop.does("POST", "/users", ADA)
    shop.refuses(409, "taken", "POST", "/users", {**ADA, "email": "ADA@example.org"}, at="/email")
    for field, values in {
        "email": ["ada", "", "a b@example.org", "x" * 255 + "@example.org", "ada@example.org\x00", None, 7],
        "first_name": ["", " ", "x" * 101, "A\x00", None],
        "last_name": ["", "x" * 101],
        "phone": ["", 7],
        "avatar_url": ["javascript:alert(1)", "no address"],
        "loyalty_tier": ["Gold!", ""],
        "shoe_size": [43],
    }.items():
        for value in values:
            shop.refuses(422, "invalid", "POST", "/users", {**ADA, field: value}, at=f"/{field}")
    shop.refuses(422, "invalid", "POST", "/users", {"email": "eve@example.org"}, at="/first_name")
    shop.refuses(422, "invalid", "POST", "/users", [])


def test_a_change_touches_only_what_it_names(shop: Shop) -> None:
    id = shop.user(phone="+44 20")
    changed = shop.does("PATCH", f"/users/{id}", {"loyalty_tier": "gold", "version": 1})
    assert changed == {"id": id, "version": 2, "status": "active"}
    assert shop.rows("select email, phone, loyalty_tier from users") == [("ada@example.org", "+44 20", "gold")]
    shop.does("PATCH", f"/users/{id}", {"phone": None, "version": 2}, if_match='"2"')
    assert shop.rows("select email, phone, loyalty_tier from users") == [("ada@example.org", None, "gold")]


def test_a_wrong_change_is_refused(shop: Shop) -> None:
    id = shop.user()
    shop.user("bob")
    conflict = shop.refuses(409, "version-conflict", "PATCH", f"/users/{id}", {"first_name": "A", "version": 2})
    assert conflict["actual"] == 1
    shop.refuses(409, "taken", "PATCH", f"/users/{id}", {"email": "Bob@example.org", "version": 1}, at="/email")
    shop.refuses(422, "invalid", "PATCH", f"/users/{id}", {"first_name": "A"}, at="/version")
    shop.refuses(422, "invalid", "PATCH", f"/users/{id}", {"first_name": None, "version": 1}, at="/first_name")
    shop.refuses(422, "invalid", "PATCH", f"/users/{id}", {"status": "suspended", "version": 1}, at="/status")
    for unknown in ("99", "x", "0", "-1", "01", "٣", "9" * 30):
        shop.refuses(404, "not-found", "PATCH", f"/users/{unknown}", {"version": 1})


def test_if_match_guards_a_change(shop: Shop) -> None:
    path = f"/users/{shop.user()}"
    for tag in ('"2"', 'W/"1"', '"x"', '"2", "3"'):
        shop.refuses(412, "precondition-failed", "PATCH", path, {"version": 1}, if_match=tag)
    shop.refuses(422, "invalid", "PATCH", path, {"version": 1}, if_match="1", at="If-Match")
    for version, tag in enumerate(("*", '"1", "2"', '"3"'), start=1):
        shop.does("PATCH", path, {"version": version}, if_match=tag)


def test_suspending_and_reinstating_are_idempotent(shop: Shop) -> None:
    id = shop.user()
    for route, status, version in (
        ("suspend", "suspended", 2),
        ("suspend", "suspended", 2),
        ("reinstate", "active", 3),
        ("reinstate", "active", 3),
    ):
        assert shop.does("POST", f"/users/{id}/{route}") == {"id": id, "version": version, "status": status}
    for route in ("suspend", "reinstate"):
        shop.refuses(404, "not-found", "POST", f"/users/99/{route}")
        shop.refuses(412, "precondition-failed", "POST", f"/users/{id}/{route}", if_match='"1"')


def test_following_is_idempotent(shop: Shop) -> None:
    ada, bob = shop.user(), shop.user("bob")
    for method, follows in (("PUT", 1), ("PUT", 1), ("DELETE", 0), ("DELETE", 0)):
        assert shop.does(method, f"/users/{ada}/following/{bob}") is None
        assert shop.rows("select count(*) from follows") == [(follows,)]


def test_a_wrong_following_is_refused(shop: Shop) -> None:
    ada = shop.user()
    shop.refuses(422, "invalid", "PUT", f"/users/{ada}/following/{ada}")
    for method in ("PUT", "DELETE"):
        for path in (f"/users/{ada}/following/99", f"/users/99/following/{ada}", f"/users/{ada}/following/x"):
            shop.refuses(404, "not-found", method, path)
