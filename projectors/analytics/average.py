"""An average of money in SQL, exact to the cent: dividing decimals makes floats in DuckDB."""

from __future__ import annotations

from typing import LiteralString


def average(revenue: LiteralString, orders: LiteralString) -> LiteralString:
    """SQL for revenue over orders as decimal(18, 2), rounded half up in whole cents; null of no order.

    ``revenue``: an expression of decimal(…, 2), not negative; ``orders``: of a whole number.
    """
    return f"""case when {orders} > 0 then (
                 ((2 * (({revenue}) * 100)::hugeint + {orders}) // (2 * ({orders})))::decimal(18, 0) * 0.01
               )::decimal(18, 2) end"""
