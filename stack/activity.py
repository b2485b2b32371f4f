"""Everything that people do in the shop, each as often as they do it."""

from __future__ import annotations

from stack import social, traffic
from stack.traffic import Worker, place_order

SHARES = traffic.SHARES | social.SHARES


def act(worker: Worker) -> None:
    """Do one thing; where there is nothing to do it to, somebody orders instead."""
    (action,) = worker.random.choices(tuple(SHARES), tuple(SHARES.values()))
    if not action(worker):
        place_order(worker)
