"""One thing that ``readside doctor`` found: where, how bad, what is wrong, and what to paste to mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import httpx
import psycopg

from cdc.errors import ReadsideError

#: note: worth knowing, nothing to do now; degraded: it works and will not always, or does more than it should;
#: down: it does not work, or a store would be wrong.
Severity = Literal["note", "degraded", "down"]
Part = Literal["source", "kafka", "connect", "serving", "analytics", "writer", "queries"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong, and its fix: SQL or commands, one a line, empty where there is nothing to do."""

    part: Part
    severity: Severity
    what: str
    fix: str = ""


def looked(part: Part, fix: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What a look found; if it could not be finished, a finding that says so, and ``fix``. Never raises."""
    try:
        return list(look())
    except ReadsideError as exc:
        return [Finding(part=part, severity="down", what=str(exc), fix=fix)]
    except psycopg.Error as exc:
        said = exc.diag.message_primary or str(exc).strip().partition("\n")[0] or type(exc).__name__
        return [Finding(part=part, severity="down", what=f"it does not answer: {said}", fix=fix)]
    except (httpx.HTTPError, OSError) as exc:
        return [Finding(part=part, severity="down", what=f"it does not answer: {type(exc).__name__}", fix=fix)]
    except Exception as exc:  # a doctor that falls over helps nobody: what it could not look at is a finding too
        return [Finding(part=part, severity="down", what=f"it could not be looked at: {type(exc).__name__}", fix=fix)]
