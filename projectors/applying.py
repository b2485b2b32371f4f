"""Batches on their way into a store, one after the other: small ones at once, large ones beside the reading of the next.

A store spends most of a large batch waiting for its database, and the next one takes as long to read and decode. Topics
are read unevenly, so that two batches may get whole at once and none for a while: one waits, and the reading goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from cdc.assembler import Transaction
from projectors.checkpoint import Checkpoint

_FEW_CHANGES = 500  # are applied before another thread would have begun


Ready = Callable[[Checkpoint], None]
Apply = Callable[[Ready, Sequence[Transaction], Checkpoint], None]


class Applying:
    """One thread reads and calls this; one batch is being applied, one more may wait. Leaving the block waits for both."""

    def __init__(self, prepare: Callable[[Sequence[Transaction]], Ready], apply: Apply) -> None:
        """``prepare`` is called by the reading thread, beside the batch under way; ``apply`` with what it returned."""
        self._prepare = prepare
        self._apply = apply
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="applying")
        self._under_way: deque[Future[None]] = deque()  # in order; the first is being applied

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
        return all(batch.done() for batch in self._under_way)

    @property
    def full(self) -> bool:
        """Whether the next batch would have to wait for two."""
        return sum(not batch.done() for batch in self._under_way) > 1

    def apply(self, transactions: Sequence[Transaction], checkpoint: Checkpoint) -> None:
        """Apply a batch after those before it, or have it wait; raises what any of them raised."""
        ready = self._prepare(transactions)
        if sum(len(transaction.changes) for transaction in transactions) <= _FEW_CHANGES:
            self.finish()
            self._apply(ready, transactions, checkpoint)
            return
        while len(self._under_way) > 1:
            self._under_way.popleft().result()
        before = self._under_way[-1] if self._under_way else None
        self._under_way.append(self._pool.submit(self._after, before, ready, transactions, checkpoint))

    def finish(self) -> None:
        """Wait for the batches under way; raises what one of them raised."""
        under_way = list(self._under_way)
        self._under_way.clear()
        for batch in under_way:
            batch.result()

    def _after(
        self, before: Future[None] | None, ready: Ready, transactions: Sequence[Transaction], checkpoint: Checkpoint
    ) -> None:
        if before is not None:
            before.result()  # the pool's only thread has run it: nothing is applied behind a batch that failed
        self._apply(ready, transactions, checkpoint)
