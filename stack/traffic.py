"""What people do in the shop: each function is one command, taken from what is known to be there and possible.

What flows in: a `Worker` with the shop as the load knows it, a source of chance, and a way to send. What flows out:
requests. Whoever changes a thing takes it out of its pool first and gives it back as it came to be, so two workers never
change one thing at once, and a conflict that the writer reports is a mistake of the writer's.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Protocol, TypeAlias

from stack import words
from stack.shop import Order, Pool, Product, Shop, User

#: The body of a success; None when the command was refused or nobody answered.
Answer: TypeAlias = dict[str, Any] | None

FORBIDDEN, NOT_FOUND, CONFLICT = 403, 404, 409


class Send(Protocol):
    """Sends one command; raises unless its status is a success, allowed, or 503."""

    def __call__(
        self, kind: str, method: str, path: str, body: Mapping[str, Any] | None, allowed: frozenset[int]
    ) -> Answer: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One who acts."""

    shop: Shop
    random: Random
    send: Send

    def command(self, kind: str, route: str, body: Mapping[str, Any] | None = None, *allowed: int) -> Answer:
        """Send ``METHOD /path``; `allowed` refusals are part of life in a shop."""
        method, path = route.split(" ")
        return self.send(kind, method, path, body, frozenset(allowed))


def new_key() -> str:
    """An idempotency key, or any name that must be unlike those of earlier runs on the same database."""
    return uuid.uuid4().hex


def open_shop(worker: Worker) -> None:
    """Sellers and categories, without which there are no products."""
    for name in words.SELLERS:
        seller = worker.command(
            "register_seller", "POST /sellers", {"name": f"{name} {worker.random.choice(words.SELLER_KINDS)}"}
        )
        if seller:
            worker.shop.sellers.give(seller["id"])
    for name in words.CATEGORIES:
        if category := worker.command("create_category", "POST /categories", {"name": name}):
            worker.shop.categories.give(category["id"])


def offer_product(worker: Worker) -> bool:
    """A new product with something in stock."""
    shop, random = worker.shop, worker.random
    seller, category = shop.sellers.look(random), shop.categories.look(random)
    cents = random.randrange(199, 24_999)
    body = {
        "seller_id": seller,
        "category_id": category,
        "sku": f"SKU-{new_key()[:12]}",
        "name": f"{random.choice(words.ADJECTIVES)} {random.choice(words.GOODS)}",
        "description": "Made to be used every day, and to be repaired when it breaks.",
        "image_url": f"/images/{random.randrange(100)}.webp",
        "price": money(cents),
        "stock": random.randrange(200, 5000),
    }
    if product := worker.command("offer_product", "POST /products", body):
        shop.products.give(Product(id=product["id"], version=product["version"], cents=cents))
    return True


def register_user(worker: Worker) -> bool:
    """Somebody signs up."""
    random = worker.random
    first, last = random.choice(words.FIRST_NAMES), random.choice(words.LAST_NAMES)
    body = {
        "email": f"{first}.{last}.{new_key()[:10]}@example.org".lower().replace(" ", "-"),
        "first_name": first,
        "last_name": last,
        "display_name": f"{first} {last[0]}.",
        "phone": f"+44 20 7946 0{random.randrange(1000):03}",
        "loyalty_tier": random.choice(words.TIERS),
    }
    if user := worker.command("register_user", "POST /users", body):
        worker.shop.users.give(User(id=user["id"], version=user["version"]))
    return True


def rename_user(worker: Worker) -> bool:
    """Somebody marries; the name stands in every order of theirs."""
    if user := worker.shop.users.take(worker.random):
        body = {"last_name": worker.random.choice(words.LAST_NAMES), "version": user.version}
        if answer := worker.command("rename_user", f"PATCH /users/{user.id}", body):
            worker.shop.users.give(replace(user, version=answer["version"]))
    return user is not None


def suspend_user(worker: Worker) -> bool:
    """Somebody may order no more, for now."""
    return set_status(worker, "suspend_user", "suspend", worker.shop.users, worker.shop.suspended)


def reinstate_user(worker: Worker) -> bool:
    """Somebody may order again."""
    return set_status(worker, "reinstate_user", "reinstate", worker.shop.suspended, worker.shop.users)


def set_status(worker: Worker, kind: str, step: str, source: Pool[User], target: Pool[User]) -> bool:
    """Suspend or reinstate somebody; False when there is nobody."""
    if user := source.take(worker.random):
        answer = worker.command(kind, f"POST /users/{user.id}/{step}")
        if answer:
            target.give(replace(user, version=answer["version"]))
    return user is not None


def change_price(worker: Worker) -> bool:
    """A price goes up or down by up to a fifth."""
    if product := worker.shop.products.take(worker.random):
        cents = max(100, product.cents * worker.random.randrange(80, 121) // 100)
        if cents == product.cents:
            cents += 1
        body = {"price": money(cents), "version": product.version}
        if answer := worker.command("change_price", f"PATCH /products/{product.id}/price", body):
            worker.shop.products.give(replace(product, version=answer["version"], cents=cents))
    return product is not None


def change_stock(worker: Worker) -> bool:
    """A delivery comes in, or the shelf is counted and found short."""
    product = worker.shop.products.look(worker.random)
    if product:
        delta = worker.random.choice((-3, 50, 200, 500))
        worker.command("change_stock", f"PATCH /products/{product.id}/stock", {"delta": delta}, CONFLICT)
    return product is not None


def place_order(worker: Worker) -> bool:
    """A customer buys a few things; now and then one is sold out, or the customer was suspended a moment ago."""
    shop, random = worker.shop, worker.random
    user = shop.users.look(random)
    chosen = [shop.products.look(random) for _ in range(random.randint(1, 5))]
    products = {product.id for product in chosen if product}
    if user is None or not products:
        return False
    body = {
        "customer_id": user.id,
        "items": [{"product_id": id, "quantity": random.randint(1, 3)} for id in sorted(products)],
        "shipping_address": address(random),
        "shipping_method": random.choice(("standard", "standard", "express")),
        "payment_method": random.choice(("card", "card", "transfer")),
    }
    if order := worker.command("place_order", "POST /orders", body, FORBIDDEN, CONFLICT):
        shop.pending.give(Order(id=order["id"], version=order["version"]))
    return True


def pay_order(worker: Worker) -> bool:
    """A pending order is paid."""
    return move(worker, "pay_order", "pay", worker.shop.pending, worker.shop.paid)


def ship_order(worker: Worker) -> bool:
    """A paid order leaves the house."""
    parcel = {
        "carrier": worker.random.choice(words.CARRIERS),
        "tracking_number": f"{worker.random.randrange(10**12):012}",
    }
    return move(worker, "ship_order", "ship", worker.shop.paid, worker.shop.shipped, parcel)


def deliver_order(worker: Worker) -> bool:
    """A shipped order arrives."""
    return move(worker, "deliver_order", "deliver", worker.shop.shipped, None)


def cancel_order(worker: Worker) -> bool:
    """A pending order is called off."""
    why = {"reason": worker.random.choice(words.REASONS), "requested_by": "customer"}
    return move(worker, "cancel_order", "cancel", worker.shop.pending, None, why)


def readdress_order(worker: Worker) -> bool:
    """A paid order is to go elsewhere."""
    if order := worker.shop.paid.take(worker.random):
        body = {**address(worker.random), "version": order.version}
        if answer := worker.command("readdress_order", f"PUT /orders/{order.id}/shipping-address", body):
            worker.shop.paid.give(replace(order, version=answer["version"]))
    return order is not None


def move(
    worker: Worker,
    kind: str,
    step: str,
    source: Pool[Order],
    target: Pool[Order] | None,
    body: Mapping[str, Any] | None = None,
) -> bool:
    """Take an order one step on; False when none waits for it."""
    if order := source.take(worker.random):
        answer = worker.command(kind, f"POST /orders/{order.id}/{step}", body)
        if answer and target:
            target.give(replace(order, version=answer["version"]))
    return order is not None


def address(random: Random) -> dict[str, str]:
    """Somewhere to send things."""
    city, country = random.choice(words.CITIES)
    line = f"{random.randrange(1, 200)} {random.choice(words.STREETS)} Street"
    return {"line1": line, "city": city, "country": country, "postal_code": f"{random.randrange(100_000):05}"}


def money(cents: int) -> str:
    """The decimal string of an amount."""
    return f"{cents // 100}.{cents % 100:02}"


#: How often people do what, in a thousand: of a hundred orders eleven are called off, the others go their whole way.
SHARES: dict[Callable[[Worker], bool], int] = {
    place_order: 280,
    pay_order: 230,
    ship_order: 200,
    deliver_order: 180,
    cancel_order: 30,
    readdress_order: 10,
    change_stock: 30,
    change_price: 15,
    register_user: 10,
    rename_user: 7,
    suspend_user: 2,
    reinstate_user: 3,
    offer_product: 3,
}
