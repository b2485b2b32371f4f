"""The one logging set-up: a JSON object per line on standard error, ISO 8601 UTC, never a row's values."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

_CAUSES, _FRAMES = 4, 12  # of an exception that are told
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object; what was passed as ``extra`` becomes fields of their own."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        entry: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            entry["exception"] = _told(record.exc_info[1])
        return json.dumps(entry, default=str)


def _told(error: BaseException | None) -> list[dict[str, object]]:
    """An exception and what it came of: classes and places. Its text may hold a row's values or a password."""
    told: list[dict[str, object]] = []
    while error is not None and len(told) < _CAUSES:
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        told.append({"type": type(error).__qualname__, "sqlstate": getattr(error, "sqlstate", None), "frames": where})
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return told


def configure_logging(level: int = logging.INFO) -> None:
    """Send every logger's records to standard error as JSON lines; kafka-python's own chatter from warnings up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("kafka").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)
