"""What every declaration has: a name, a fingerprint, the relations its SQL reads, and mistakes that say what to change."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

StoreName = Literal["serving", "analytics"]

#: What stands behind the name of a version that is not the one that serves (projectors/versions.py).
NEXT: Final = "__next"
FORMER: Final = "__former"

_READ = re.compile(r'\b(mirror|rollups|read_models)\.(?:(\w+)|"((?:[^"]|"")+)")')
_NO_CODE = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)


class DeclarationError(TypeError):
    """A declaration cannot be right; the message says what to change."""


def relations(text: str) -> frozenset[str]:
    """What SQL reads, named as declarations do: ``T`` for mirror.T, ``rollups.R``, ``read_models.M``."""
    names = {(schema, word.lower() or quoted.replace('""', '"')) for schema, word, quoted in _READ.findall(text)}
    return frozenset(name if schema == "mirror" else f"{schema}.{name}" for schema, name in names)


def is_declared(relation: str) -> bool:
    """Whether a relation is a declared one, not a source table."""
    return relation.startswith(("rollups.", "read_models."))


def code(sql: str) -> str:
    """SQL on one line, without its comments and the insides of its string constants."""
    return " ".join(_NO_CODE.sub(lambda found: "''" if found[0].startswith("'") else " ", sql).split())


def renamed(sql: str, names: Mapping[str, str]) -> str:
    """SQL that reads other declared tables than it says: by their names, in any case."""

    def other(found: re.Match[str]) -> str:
        schema, word, quoted = found.groups()
        name = names.get(word.lower() if word else quoted.replace('""', '"'))
        return found[0] if name is None or schema == "mirror" else f"{schema}.{name}"

    return _READ.sub(other, sql)


def mentions(sql: str, word: str) -> bool:
    """Whether SQL holds this word, in any case."""
    return re.search(rf"\b{re.escape(word)}\b", code(sql), re.IGNORECASE) is not None


def fingerprint(parts: Iterable[str]) -> str:
    """Changes with the parts; white space is no meaning: an indented query is the same query."""
    return hashlib.sha256("\0".join(" ".join(part.split()) for part in parts).encode()).hexdigest()[:16]


def require_name(name: str) -> None:
    """Raises DeclarationError for what is no name of a table."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,47}", base_of(name)):
        raise DeclarationError(f"{name!r} is no name for a table: lower case letters, digits, underscores, at most 48")


def base_of(name: str) -> str:
    """The name that a version of a declared table has when it is the one that serves."""
    return name.removesuffix(NEXT).removesuffix(FORMER)


def listed(names: Iterable[str]) -> str:
    """Names as an error lists them."""
    return ", ".join(sorted(names))
