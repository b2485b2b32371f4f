"""How counts and sums are declared that are kept by adding what changed, so that they cost what the change costs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import LiteralString

from projectors.declaration import (
    DeclarationError,
    StoreName,
    code,
    fingerprint,
    listed,
    mentions,
    relations,
    require_name,
)

_NOT_ADDITIVE = re.compile(
    r"""\b(avg|min|max|\w+_agg|bit_\w+|bool_and|bool_or|every|mode|rank|stddev\w*|variance|var_\w+|percentile_\w+|corr
          |covar_\w+|over)\s*\(
      | \b(having|limit|offset|fetch|intersect|except)\b
      | (?<!\bis\s)(?<!\bnot\s)\bdistinct\b""",
    re.IGNORECASE | re.VERBOSE,
)
_FLEETING = re.compile(
    r"\b(now|random|clock_timestamp|statement_timestamp|age)\s*\(|\b(current_(date|time|timestamp)|localtime(stamp)?)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollup:
    """Measures per group, kept exact without counting again.

    ``query`` selects groups with their measures from the relation ``changed``, some rows of ``of``, with that relation's
    columns. The engine runs it over the old versions of a batch's changed rows and over the new ones, and adds the
    difference to the group. So every column outside the key must add up over rows: ``count(*)``, ``sum(x)``, filtered or
    not; an average, a share or a histogram is made of such measures by the read model that reads ``rollups.NAME``.

    A measure is a whole number or numeric (without trailing zeros, whatever its history), and 0 instead of NULL. A group
    of which every measure is 0 has no row; rows with a NULL in the key belong to no group. Where equal keys are written in
    several forms (1.0 and 1.00, citext a and A) they are one group, and its row has one of them.
    """

    name: LiteralString  #: read as rollups.NAME
    of: LiteralString  #: a source table T, another rollups.R, or read_models.M
    key: tuple[LiteralString, ...]  #: the columns that make a group
    query: LiteralString
    comment: LiteralString  #: one line: what a row is
    indexes: tuple[LiteralString, ...] = ()  #: beside the key's, as after ON t
    store: StoreName = "serving"

    def __post_init__(self) -> None:
        require_name(self.name)
        self._require_place()
        self._require_columns()
        self._require_additive()

    @property
    def reference(self) -> str:
        """Its name in SQL and in other declarations."""
        return f"rollups.{self.name}"

    @property
    def sources(self) -> frozenset[str]:
        """The relations whose changes it takes in."""
        return frozenset({self.of})

    @property
    def reads(self) -> frozenset[str]:
        """Every relation that its rows depend on."""
        return self.sources

    @property
    def fingerprint(self) -> str:
        """Changes exactly when the declaration's meaning may have."""
        return fingerprint((self.of, self.query, self.comment, *self.key, *self.indexes))

    def _require_place(self) -> None:
        if self.of.startswith(("mirror.", "history.")):
            raise DeclarationError(
                f"rollup {self.name} is of {self.of}; name a source table alone, as in of={self.of.partition('.')[2]!r}, "
                "a rollup as rollups.R, a read model as read_models.M"
            )

    def _require_columns(self) -> None:
        if not self.key:
            raise DeclarationError(f"rollup {self.name} has no key; name the columns that make a group in key=(…)")
        if not mentions(self.query, "changed") or not re.search(r"\bgroup\s+by\b", code(self.query), re.IGNORECASE):
            raise DeclarationError(
                f"rollup {self.name}: query must select from changed, group by {', '.join(self.key)}"
            )
        if missing := [name for name in self.key if not mentions(self.query, name)]:
            raise DeclarationError(f"rollup {self.name}: its query has no column {listed(missing)}, which key names")

    def _require_additive(self) -> None:
        if read := relations(self.query) | set(re.findall(r"\bhistory\.\w+", self.query)):
            shown = listed(name if "." in name else f"mirror.{name}" for name in read)
            raise DeclarationError(
                f"rollup {self.name} reads {shown}, and changes there would go unnoticed; take columns of {self.of} only, "
                "or join them in a read model and make the rollup of that"
            )
        if word := _NOT_ADDITIVE.search(code(self.query)):
            raise DeclarationError(
                f"rollup {self.name}: {word[0].rstrip('( ')} does not add up when a row leaves its group; count(*) and "
                "sum(…) do, filtered or not. Averages and shares are made in a read model; for min, max and the latest "
                "rows a read model asks for an index on the mirror (mirror_indexes)"
            )
        if word := _FLEETING.search(code(self.query)):
            raise DeclarationError(
                f"rollup {self.name}: {word[0]} is another one when a row leaves than when it came; use the row's columns"
            )
