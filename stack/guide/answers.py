"""The questions of docs/analytics.md and their answers: each block of SQL is asked, what it answers is the block behind it.

What the document shows is what ``readside sql`` shows; of a long answer only the first rows. A picture behind an answer
is drawn from all of its rows, and keeps their digest to be known by.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from projectors.analytics import sql
from projectors.analytics.store import AnalyticsStore
from stack.errors import StackError
from stack.sql.asking import Freshness, Rows
from stack.sql.tables import table

DOCUMENT = Path(__file__).parents[2] / "docs" / "analytics.md"
_MOST_ROWS, _SHOWN_ROWS = 10_000, 12
_QUESTION = re.compile(
    r"^```sql\n(?P<sql>.*?)^```\n\n```text\n(?P<answer>.*?)^```\n(?:\n!\[[^\]]*\]\(analytics/(?P<chart>[\w-]+)\.svg\)\n)?",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Answers:
    """The document with every answer as the store gives it now, and the rows that each chart shows, by its name."""

    document: str
    charts: Mapping[str, Rows]


def answers(document: str, store: AnalyticsStore) -> Answers:
    """Ask every question of the document. Raises StackError for one that is refused or has no room for its answer."""
    charts: dict[str, Rows] = {}

    def answered(question: re.Match[str]) -> str:
        rows = ask(store, question["sql"])
        if question["chart"]:
            charts[question["chart"]] = rows
        begin, end = question.start("answer") - question.start(), question.end("answer") - question.start()
        return question[0][:begin] + shown(rows) + question[0][end:]

    text, count = _QUESTION.subn(answered, document)
    if (blocks := len(re.findall(r"^```sql$", document, re.MULTILINE))) != count:
        raise StackError(
            f"the document has {blocks} blocks of SQL, and {count} of them have a block for the answer: put an empty "
            "```text block behind each, with an empty line between the two"
        )
    return Answers(text, charts)


def ask(store: AnalyticsStore, statement: str) -> Rows:
    """Run one statement as ``POST /sql`` does. Raises StackError with what it is refused for."""
    try:
        answer = sql.query(store, sql.Statement(sql=statement, parameters={}, form="json", most_rows=_MOST_ROWS))
    except sql.Refused as exc:
        raise StackError(f"the document asks what is refused with {exc.status}: {exc}\n{statement}") from exc
    body = json.loads(answer.body)
    fresh = Freshness(as_of=body["as_of"], lag_ms=None)
    return Rows(
        columns=body["columns"],
        types=body["types"],
        rows=body["rows"],
        truncated=body["truncated"],
        freshness=fresh,
        body=body,
    )


def shown(rows: Rows) -> str:
    """An answer as the document has it, the last line with its line end."""
    drawn = table(rows, width=None, most_rows=_SHOWN_ROWS)
    lines = [line.plain for line in drawn.lines]
    if drawn.cut:
        lines.append(f"({drawn.cut})")
    return "".join(f"{line.rstrip()}\n" for line in lines)


def digest(rows: Rows) -> str:
    """What a picture of these rows is known by."""
    content = json.dumps([rows.columns, rows.rows]).encode()
    return f"rows sha256:{hashlib.sha256(content).hexdigest()}"


def chart_path(document: Path, name: str) -> Path:
    """Where a document's chart of that name lies."""
    return document.with_suffix("") / f"{name}.svg"


def stale(store: AnalyticsStore, document: Path = DOCUMENT) -> list[Path]:
    """The document and those of its charts that do not show what the store answers now. Raises StackError."""
    text = document.read_text()
    now = answers(text, store)
    charts = {chart_path(document, name): digest(rows) for name, rows in now.charts.items()}
    found = [] if now.document == text else [document]
    return found + [path for path, known in charts.items() if not path.exists() or known not in path.read_text()]
