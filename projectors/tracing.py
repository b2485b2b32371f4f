"""Spans of batches, which link to the traces of the writes in them (docs/decisions/0018).

Links, not parents: a batch holds many writes. Made only where an OpenTelemetry SDK was set up in this process.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice

from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cdc.assembler import Transaction
from cdc.change import decode_message
from cdc.errors import Poison
from cdc.lsn import lsn_text

PREFIX = "readside.trace"  #: of the logical messages that carry a traceparent
_KEPT = 10_000  # transactions, of which a trace or its rows have not come yet
_LINKS = 100  # of one span; an SDK drops what is over 128

Span = tuple[int, int, int]  # when it began and ended, in nanoseconds since 1970, and the LSN that the store reached


class Traces:
    """The traces of the transactions on their way into one store."""

    def __init__(self, projector: str, provider: TracerProvider | None = None) -> None:
        """``provider``: who records the spans; by default the one that was set up for the process."""
        self._projector = projector
        self._tracer = trace.get_tracer("readside.projectors", tracer_provider=provider)
        self._propagator = TraceContextTextMapPropagator()
        self._coming: dict[int, Link] = {}  # by transaction, until it is applied
        self._without: dict[int, Span] = {}  # by transaction that was applied, for a trace that comes late

    def see(self, value: bytes) -> None:
        """Look at a record of the message topic. It is in another topic than the rows, and may come after them."""
        try:
            message = decode_message(value)
        except Poison:
            return  # whoever reads it for more than a trace says so
        if message.prefix != PREFIX or message.xid is None:
            return
        context = trace.get_current_span(
            self._propagator.extract({"traceparent": message.content.decode("latin-1")})
        ).get_span_context()
        if not context.is_valid:
            return
        if (applied := self._without.pop(message.xid, None)) is not None:
            self._record(applied, [Link(context)])
            return
        self._coming[message.xid] = Link(context)
        _bounded(self._coming)

    def applied(self, transactions: Sequence[Transaction], began: float, end_lsn: int) -> None:
        """A batch was committed just now; ``began`` by ``time.perf_counter``."""
        ended = time.time_ns()
        span = ended - int((time.perf_counter() - began) * 1e9), ended, end_lsn
        links: list[Link] = []
        for transaction in transactions:
            if (link := self._coming.pop(transaction.xid, None)) is not None:
                links.append(link)
            elif transaction.changes:
                self._without[transaction.xid] = span
        _bounded(self._without)
        for first in range(0, len(links), _LINKS):
            self._record(span, links[first : first + _LINKS])

    def _record(self, span: Span, links: Sequence[Link]) -> None:
        began, ended, end_lsn = span
        self._tracer.start_span(
            f"apply {self._projector}",
            kind=SpanKind.CONSUMER,
            links=links,
            start_time=began,
            attributes={"readside.store": self._projector, "readside.end_lsn": lsn_text(end_lsn)},
        ).end(ended)


def _bounded(kept: dict[int, Link] | dict[int, Span]) -> None:
    for xid in list(islice(kept, max(0, len(kept) - _KEPT))):
        kept.pop(xid, None)
