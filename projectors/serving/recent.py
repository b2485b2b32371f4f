"""Which source transactions were applied lately, for tokens; what is older is pruned now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from cdc.assembler import Transaction
from projectors.checkpoint import lsn_text
from projectors.serving.statements import PRUNE, REMEMBER

_PRUNE_INTERVAL_S = 10.0
_REMEMBERED_PER_BATCH = 1_000


class Recent:
    """Those of one store."""

    def __init__(self) -> None:
        self._pruned_at = 0.0

    def remember(self, execute: Callable[..., Any], transactions: Sequence[Transaction]) -> None:
        """Inside a transaction of the store's."""
        latest = transactions[-_REMEMBERED_PER_BATCH:]
        by_xid = {transaction.xid: lsn_text(transaction.end_lsn) for transaction in latest}
        execute(REMEMBER, {"xids": list(by_xid), "lsns": list(by_xid.values())})
        if time.monotonic() - self._pruned_at > _PRUNE_INTERVAL_S:
            execute(PRUNE)
            self._pruned_at = time.monotonic()
