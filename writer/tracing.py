"""The trace that a write belongs to (W3C trace context), carried through the pipeline with its transaction.

docs/decisions/0018: a logical message beside the rows, only where the trace is sampled.
"""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from writer.transaction import Database

_HEADER = "traceparent"
_propagator = TraceContextTextMapPropagator()


def traceparent_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The trace of the request under way, as a traceparent: of the server's span where there is one, else the caller's.

    None without a trace, and for one that nobody records.
    """
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        found = next((value for name, value in headers if name == _HEADER.encode()), None)
        if found is None:
            return None
        caller = _propagator.extract({_HEADER: found.decode("latin-1")})
        span = trace.get_current_span(caller).get_span_context()
    if not span.is_valid or not span.trace_flags.sampled:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


def carry(db: Database, traceparent: str) -> None:
    """Send the trace with the open transaction, behind its rows."""
    db.execute("select pg_logical_emit_message(true, 'readside.trace', %(traceparent)s)", {"traceparent": traceparent})
