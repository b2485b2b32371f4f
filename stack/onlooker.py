"""Asks the analytics store all the while, as an analyst would, and looks for what must never be seen."""

from __future__ import annotations

import httpx

from config.settings import Settings
from projectors.checkpoint import lsn_value
from stack.witness import Looker

_INTERVAL_S = 0.02
_AWAY_S = 0.1
_TIMEOUT_S = 15.0

#: One statement, one moment: the newest orders with their lines, the days' counts, and the position. A 0 among the torn
#: stands for the days, which together have other orders than there are.
LOOK = """
    with latest as (select * from orders order by id desc limit 100),
         seen as (
        select o.id,
               count(i.id) = o.item_count and count(i.id) > 0
               and sum(i.line_total) + o.tax + o.shipping = o.total
               and bool_and(i.order_status = o.status and i.customer_id = o.customer_id) as whole
          from latest o
          left join order_items i on i.order_id = o.id
         group by o.id, o.item_count, o.tax, o.shipping, o.total),
         days as (select coalesce(sum(orders), 0) as orders, coalesce(sum(cancelled), 0) as cancelled from daily_orders),
         all_orders as (select count(*) as orders, count(*) filter (status = 'cancelled') as cancelled from orders)
    select (select end_lsn from _readside), (select count(*) from latest),
           (select list(id) from (
              select id from seen where whole is not true
               union all
              select 0 from days d, all_orders a where (d.orders, d.cancelled) <> (a.orders, a.cancelled)))
"""


class Onlooker(Looker):
    """Looks at the analytics store. That it does not answer is nothing to it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._url = f"http://{settings.analytics_address}/sql"
        self._last = 0

    @property
    def looks(self) -> int:
        """How often it has seen orders so far."""
        return self._sight.looks

    def _look_on(self) -> None:
        with httpx.Client(timeout=_TIMEOUT_S, trust_env=False) as client:
            while not self._stop.wait(_INTERVAL_S):
                try:
                    response = client.post(self._url, json={"sql": LOOK})
                except httpx.HTTPError:
                    self._stop.wait(_AWAY_S)
                    continue
                if response.status_code == 503:  # still loading
                    continue
                response.raise_for_status()
                self._look(*response.json()["rows"][0])

    def _look(self, position: str, orders: int, torn: list[int] | None) -> None:
        now = lsn_value(position)
        if orders:
            self._sight.looks += 1
        self._sight.torn.update(torn or ())
        # It is only killed: what DuckDB has committed is in the kernel's hands and must be there again.
        self._sight.backwards += now < self._last
        self._last = now
