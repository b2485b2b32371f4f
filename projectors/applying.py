"""Batches on their way into a store, one after the other: small ones at once, large ones beside the reading of the next.

A store spends most of a large batch waiting for its database, and the next one takes as long to read and decode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from cdc.assembler import Transaction
from projectors.checkpoint import Checkpoint

_FEW_CHANGES = 500  # are applied before another thread would have begun


Ready = Callable[[Checkpoint], None]
Apply = Callable[[Ready, Sequence[Transaction], Checkpoint], None]


class Applying:
    """One thread reads and calls this; at most one batch is being applied. Leaving the block waits for it."""

    def __init__(self, prepare: Callable[[Sequence[Transaction]], Ready], apply: Apply) -> None:
        """``prepare`` is called by the reading thread, beside the batch under way; ``apply`` with what it returned."""
        self._prepare = prepare
        self._apply = apply
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="applying")
        self._under_way: Future[None] | None = None

    def __enter__(self) -> Applying:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        if kind is None:
            self.finish()

    @property
    def idle(self) -> bool:
        """Whether nothing is being applied."""
        return self._under_way is None or self._under_way.done()

    def apply(self, transactions: Sequence[Transaction], checkpoint: Checkpoint) -> None:
        """Apply a batch after the one before it; raises what either of them raised."""
        ready = self._prepare(transactions)
        self.finish()
        if sum(len(transaction.changes) for transaction in transactions) <= _FEW_CHANGES:
            self._apply(ready, transactions, checkpoint)
        else:
            self._under_way = self._pool.submit(self._apply, ready, transactions, checkpoint)

    def finish(self) -> None:
        """Wait for the batch under way; raises what it raised."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()
