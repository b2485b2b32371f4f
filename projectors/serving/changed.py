"""The temporary tables of changed rows, emptied after each batch."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from projectors.serving.relation import empty, forget
from projectors.serving.statements import Statements

_BATCHES_PER_TRUNCATE = 1_000


class Changed:
    """Those of one store's session."""

    def __init__(self) -> None:
        self._batches = 0

    def forget(
        self, execute: Callable[[bytes], Any], statements: Statements, changed: Collection[str], *, large: bool
    ) -> None:
        """Empty those of these relations, inside the batch's transaction."""
        # Deleted, not ON COMMIT DELETE ROWS: that truncates the files of every such table at each commit, 5 ms for
        # fifteen. What deletes leave behind is pruned as the pages are used again, and truncated now and then; at once after
        # a large batch, or each small one that follows would read through all its pages: 200 ms instead of 45.
        self._batches += 1
        relations, names = statements.relations, sorted(statements.kept.intersection(changed))
        if self._batches % _BATCHES_PER_TRUNCATE == 0:
            large, names = True, sorted(statements.kept)
        if not names:
            return
        # One statement for all of them: each costs this side more than the database.
        if large:
            execute(statements.render(("truncate changed", *names), lambda: empty(relations[n] for n in names)))
        else:
            execute(statements.render(("forget", *names), lambda: forget(relations[n] for n in names)))
