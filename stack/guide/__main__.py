"""See the package's docstring."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from projectors.analytics.store import AnalyticsStore
from stack.errors import StackError
from stack.guide.answers import DOCUMENT, answers, chart_path, stale
from stack.guide.database import PUBLICATION, write_database
from stack.guide.shop import shop_store


def main() -> str | int:
    """Write the document's answers and charts, or with ``--check`` compare them; what is wrong, or 0."""
    try:
        with tempfile.TemporaryDirectory(prefix="readside-guide-") as name:
            directory = Path(name)
            with write_database(directory) as dsn, shop_store(dsn, PUBLICATION, directory) as store:
                return _check(store) if sys.argv[1:] == ["--check"] else _write(store)
    except StackError as exc:
        return str(exc)


def _check(store: AnalyticsStore) -> str | int:
    if found := stale(store):
        names = ", ".join(str(path.relative_to(DOCUMENT.parents[1])) for path in found)
        return f"stale: {names}; write with: python -m stack.guide"
    return 0


def _write(store: AnalyticsStore) -> str | int:
    try:
        from stack.guide.charts import draw
    except ModuleNotFoundError as exc:
        return f"the charts cannot be drawn without {exc.name}; install it with: uv sync --group docs"
    now = answers(DOCUMENT.read_text(), store)
    DOCUMENT.write_text(now.document)
    for name, rows in now.charts.items():
        path = chart_path(DOCUMENT, name)
        path.parent.mkdir(exist_ok=True)
        draw(name, rows, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
