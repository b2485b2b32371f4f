"""Which row is followed: a captured table and a key, as somebody typed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from stack.captured import Captured
from stack.errors import StackError
from stack.legible import legible_row


@dataclass(frozen=True, slots=True)
class Sought:
    """A table's row."""

    table: Captured
    #: By column, in key order: as typed, or as the source writes such a value in JSON where it answered.
    key: Mapping[str, Any]

    def written(self, key: Mapping[str, Any]) -> Sought:
        """The same row, its key as the source writes it."""
        return replace(self, key={name: key[name] for name in self.key})

    def named_by(self, key: bytes | None) -> Sought:
        """The same row, its columns called as in a record's key."""
        names = legible_row(key, ()) if key is not None else self.key
        return replace(self, key=dict(zip(names, self.key.values(), strict=True)))

    def is_key(self, key: Mapping[str, Any]) -> bool:
        """Whether a record's key, its values as people read them, is this row's."""
        if not self.table.key:  # nobody could say what the columns are called: by their order then
            return len(key) == len(self.key) and all(map(same, key.values(), self.key.values()))
        return key.keys() == self.key.keys() and all(same(key[name], value) for name, value in self.key.items())

    @property
    def shown(self) -> str:
        """The row as a message names it."""
        return f"{self.table.qualified} {', '.join(f'{name}={value}' for name, value in self.key.items())}"


def sought(table: Captured, typed: str | None, pairs: Sequence[str]) -> Sought:
    """The row of ``a,b``, values in key order, or of name=value pairs. Raises StackError for what is no key of the table."""
    if (typed is None) == (not pairs):
        raise StackError(
            f"which row of {table.qualified}? Give its key, {_form(table)}, or each column as --key name=value"
        )
    named = _pairs(table, pairs) if pairs else _values(table, typed or "")
    return Sought(table, named)


def _values(table: Captured, typed: str) -> dict[str, str]:
    names = table.key
    if len(names) == 1:
        return {names[0]: typed}  # a comma may be part of it
    values = typed.split(",")
    if not names:
        return {f"#{place}": value for place, value in enumerate(values, 1)}
    if len(values) != len(names):
        raise StackError(f"the key of {table.qualified} is {_form(table)}: {len(names)} values, not {len(values)}")
    return dict(zip(names, values, strict=True))


def _pairs(table: Captured, pairs: Sequence[str]) -> dict[str, str]:
    split = [pair.partition("=") for pair in pairs]
    if wrong := [name for name, equals, _ in split if not equals]:
        raise StackError(f"--key {wrong[0]} is not name=value; the key of {table.qualified} is {_form(table)}")
    named = {name: value for name, _, value in split}
    if table.key and named.keys() != set(table.key):
        raise StackError(f"the key of {table.qualified} is {_form(table)}; --key names {','.join(named)}")
    return {name: named[name] for name in table.key or named}


def _form(table: Captured) -> str:
    return ",".join(table.key) or "not known while the source does not answer"


def same(one: Any, other: Any) -> bool:
    """Whether two forms of a key's value are one value: 1.50 and 1.5, 12:00Z and 12:00+00:00, and what is typed as text."""
    if one == other or str(one) == str(other):
        return True
    if isinstance(one, bool) or isinstance(other, bool):
        return str(one).lower() == str(other).lower()
    try:
        return Decimal(str(one)) == Decimal(str(other))
    except InvalidOperation:
        pass
    try:
        return datetime.fromisoformat(str(one)) == datetime.fromisoformat(str(other))
    except (ValueError, TypeError):
        return False
