"""Values and boundaries as Debezium 3.7 writes them under cdc/connector.toml."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any


def boundary(status: str, xid: int, lsn: int, counts: Mapping[str, int] | None) -> bytes:
    """A record of the transaction topic."""
    collections = None if counts is None else [{"data_collection": t, "event_count": n} for t, n in counts.items()]
    return json.dumps({"status": status, "id": f"{xid}:{lsn}", "ts_ms": lsn, "data_collections": collections}).encode()


def encoded(base_type: str, full_type: str, value: Any) -> Any:
    """A value as Debezium writes it, from what to_jsonb() says."""
    match base_type:
        case "numeric":
            scale = int(full_type.rpartition(",")[2].rstrip(")")) if "," in full_type else None
            return str(value) if scale is None else f"{value:.{scale}f}"
        case "json" | "jsonb":
            return json.dumps(value, default=float)
        case "bytea":
            return value.removeprefix("\\x")
        case "timestamptz":
            return _utc(value)
        case "date":
            return (date.fromisoformat(value) - date(1970, 1, 1)).days
        case "timestamp":
            return (datetime.fromisoformat(value) - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001
        case "time":
            return (datetime.fromisoformat(f"1970-01-01T{value}") - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001
        case _:
            return value


def _utc(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
