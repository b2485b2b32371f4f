"""What an order costs: one declared rule, pure arithmetic in whole cents.

Tax is 8 % of the goods. Shipping is by method; standard shipping is free from 100.00 of goods on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from writer.fields import MAX_AMOUNT
from writer.problems import SUBTOTAL_TOO_LOW, Problem, invalid

ShippingMethod = Literal["standard", "express", "overnight"]

TAX_RATE = Decimal("0.08")
LEAST_SUBTOTAL = Decimal("1.00")
FREE_STANDARD_SHIPPING_FROM = Decimal("100.00")
SHIPPING: dict[ShippingMethod, Decimal] = {
    "standard": Decimal("5.00"),
    "express": Decimal("15.00"),
    "overnight": Decimal("30.00"),
}
DELIVERY_DAYS: dict[ShippingMethod, int] = {"standard": 5, "express": 2, "overnight": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """An order's amounts."""

    subtotal: Decimal
    tax: Decimal
    shipping: Decimal

    @property
    def total(self) -> Decimal:
        """What the customer pays."""
        return self.subtotal + self.tax + self.shipping


def quote(lines: Iterable[tuple[Decimal, int]], method: ShippingMethod) -> Quote:
    """The amounts for lines of (unit price, quantity). Raises `Problem` for an order too small or too large to be."""
    subtotal = sum((price * quantity for price, quantity in lines), start=Decimal("0.00"))
    if subtotal < LEAST_SUBTOTAL:
        raise Problem(SUBTOTAL_TOO_LOW, f"the goods cost {subtotal}, the least is {LEAST_SUBTOTAL}")
    tax = (subtotal * TAX_RATE).quantize(Decimal("0.01"), ROUND_HALF_UP)
    free = method == "standard" and subtotal >= FREE_STANDARD_SHIPPING_FROM
    made = Quote(subtotal=subtotal, tax=tax, shipping=Decimal("0.00") if free else SHIPPING[method])
    if made.total > MAX_AMOUNT:
        raise invalid("/items", f"the order would cost more than {MAX_AMOUNT}")
    return made
