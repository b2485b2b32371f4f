"""How a read model is declared: what its rows are, and which keys a changed source row can touch.

An author never sees a connection, an offset or a transaction. A read model is a pure function of the mirrored source
tables, so duplicates, order between tables and crashes cannot make it wrong; the engine recomputes exactly the affected
keys. Mistakes fail when the declaration is imported, with what to change.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, LiteralString

StoreName = Literal["serving", "analytics"]

_MIRRORED = re.compile(r"\bmirror\.(\w+)")
_HISTORY = re.compile(r"\bhistory\.(\w+)")


class DeclarationError(TypeError):
    """A declaration cannot be right; the message says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadModel:
    """One denormalised table, kept equal to its query.

    ``query`` selects the rows of the keys in the relation ``affected``, whose columns are named as in ``key``. Each
    query in ``affected_by`` selects keys, in key order, from the relation ``changed``: the old and the new version of
    every changed row of that source table, with the source's columns. ``mirror.T`` is the source's table T as it stands
    after the change, ``history.H`` a declared history. Columns are matched by name, so their order does not matter.
    """

    name: LiteralString  #: the table's name, and the model's everywhere else
    key: tuple[LiteralString, ...]
    columns: LiteralString  #: columns and constraints, as between the parentheses of CREATE TABLE
    affected_by: Mapping[LiteralString, LiteralString]
    query: LiteralString
    comment: LiteralString  #: one line: what a row is
    indexes: tuple[LiteralString, ...] = ()  #: as after ON t: "(user_id, placed_at desc)" or "using gin (search)"
    store: StoreName = "serving"

    def __post_init__(self) -> None:
        _require_name(self.name)
        if not self.key:
            raise DeclarationError(f"{self.name} has no key; name its key columns in key=(…)")
        if not re.search(r"\baffected\b", self.query):
            raise DeclarationError(f"{self.name}: query never mentions affected; select only rows whose key is in it")
        for table, keys in self.affected_by.items():
            if not re.search(r"\bchanged\b", keys):
                raise DeclarationError(
                    f"{self.name}: affected_by[{table!r}] never mentions changed: take the keys of its rows"
                )
        read = set(_MIRRORED.findall(self.query))
        if missing := read - set(self.affected_by):
            raise DeclarationError(
                f"{self.name} reads {_list(missing)} but does not say which keys a changed row there touches; "
                f"add {_list(missing)} to affected_by"
            )
        if idle := set(self.affected_by) - read:
            raise DeclarationError(
                f"{self.name}: affected_by names {_list(idle)}, which its query never reads; remove it"
            )

    @property
    def tables(self) -> frozenset[str]:
        """The source tables that it or one of its affected-key queries reads."""
        texts = (self.query, *self.affected_by.values())
        return frozenset(name for text in texts for name in _MIRRORED.findall(text)) | frozenset(self.affected_by)

    @property
    def histories(self) -> frozenset[str]:
        """The histories that its query reads."""
        return frozenset(_HISTORY.findall(self.query))

    @property
    def fingerprint(self) -> str:
        """Changes exactly when the declaration's meaning may have: the store rebuilds the model then."""
        parts = (
            self.columns,
            self.query,
            self.comment,
            *self.key,
            *self.indexes,
            *sorted(map(str, self.affected_by.items())),
        )
        return _fingerprint(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """An append-only table made from one source table's changes: what happened, which no state can tell.

    ``query`` selects rows from the relation ``transition``: one row per change of the table in commit order, with
    ``old`` and ``new`` (the row before and after, NULL for none), ``at`` (the commit's time), ``end_lsn`` and ``place``
    (the commit's position, and the change's place in it). Each row selected must carry ``end_lsn`` and ``place``.
    """

    name: LiteralString
    of: LiteralString  #: the source table
    columns: LiteralString  #: columns and constraints, as between the parentheses of CREATE TABLE
    query: LiteralString
    comment: LiteralString
    indexes: tuple[LiteralString, ...] = ()
    store: StoreName = "serving"

    def __post_init__(self) -> None:
        _require_name(self.name)
        if not re.search(r"\btransition\b", self.query):
            raise DeclarationError(f"{self.name}: query never mentions transition: take what happened there")

    @property
    def fingerprint(self) -> str:
        """Changes exactly when the declaration's meaning may have."""
        parts = (self.of, self.columns, self.query, *self.indexes)
        return _fingerprint(parts)


@dataclass(frozen=True, slots=True)
class Declarations:
    """Everything declared for one store; names are unique."""

    read_models: tuple[ReadModel, ...] = ()
    histories: tuple[History, ...] = ()

    def __post_init__(self) -> None:
        names = [declared.name for declared in (*self.read_models, *self.histories)]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise DeclarationError(f"declared twice: {_list(doubled)}; give one of them another name")
        known = {history.name for history in self.histories}
        for model in self.read_models:
            if unknown := model.histories - known:
                raise DeclarationError(f"{model.name} reads history.{_list(unknown)}, which is not declared")

    @property
    def tables(self) -> frozenset[str]:
        """Every source table that some declaration reads."""
        reads = [model.tables for model in self.read_models]
        return frozenset[str]().union(*reads) | {history.of for history in self.histories}

    def of_store(self, store: StoreName) -> Declarations:
        """Those of one store."""
        return Declarations(
            tuple(m for m in self.read_models if m.store == store), tuple(h for h in self.histories if h.store == store)
        )


def _fingerprint(parts: Iterable[str]) -> str:
    # White space is no meaning: an indented query is the same query.
    return hashlib.sha256("\0".join(" ".join(part.split()) for part in parts).encode()).hexdigest()[:16]


def _require_name(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,47}", name):
        raise DeclarationError(f"{name!r} is no name for a table: lower case letters, digits, underscores, at most 48")


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
