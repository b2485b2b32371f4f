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

#: The analytics store's temporary tables: while there is one, DuckDB takes main.T, where declared tables lie, for it.
TAKEN: Final = frozenset(
    {
        "affected",
        "bases",
        "before",
        "come",
        "delta",
        "former",
        "fresh",
        "gone",
        "incoming",
        "keys",
        "staged",
        "versions",
    }
)

_NO_CODE = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
#: Finds what is no code too, so that a name in there is passed over: without any group.
_READ = re.compile(rf'{_NO_CODE.pattern}|\b(mirror|rollups|read_models)\.(?:(\w+)|"((?:[^"]|"")+)")', re.DOTALL)
_BEHIND = re.compile(r'(?:\s|--[^\n]*|/\*.*?\*/)*([."]|\w*)', re.DOTALL)
#: What may stand behind a table that has no alias; every other word is one.
_NO_ALIAS = re.compile(
    "cross|except|fetch|for|full|group|having|inner|intersect|join|left|limit|natural|offset|on|order|right|tablesample|union|"
    "using|where|window"
)


class DeclarationError(TypeError):
    """A declaration cannot be right; the message says what to change."""


def relations(text: str) -> frozenset[str]:
    """What SQL reads, named as declarations do: ``T`` for mirror.T, ``rollups.R``, ``read_models.M``."""
    names = {
        (schema, word.lower() or quoted.replace('""', '"')) for schema, word, quoted in _READ.findall(text) if schema
    }
    return frozenset(name if schema == "mirror" else f"{schema}.{name}" for schema, name in names)


def is_declared(relation: str) -> bool:
    """Whether a relation is a declared one, not a source table."""
    return relation.startswith(("rollups.", "read_models."))


def code(sql: str) -> str:
    """SQL on one line, without its comments and the insides of its string constants."""
    return " ".join(_NO_CODE.sub(lambda found: "''" if found[0].startswith("'") else " ", sql).split())


def renamed(sql: str, names: Mapping[str, str]) -> str:
    """SQL that reads other declared tables than it says: by their names, in any case. Columns are called as before."""

    def other(found: re.Match[str]) -> str:
        schema, word, quoted = found.groups()
        if schema is None or schema == "mirror":
            return found[0]
        name = word.lower() if word else quoted.replace('""', '"')
        if name not in names:
            return found[0]
        behind = _BEHIND.match(sql, found.end())
        follows = behind[1].lower() if behind else ""
        if follows == ".":
            return name
        alias = f" as {name}" if not follows or _NO_ALIAS.fullmatch(follows) else ""
        return f"{schema}.{names[name]}{alias}"

    return _READ.sub(other, sql)


def mentions(sql: str, word: str) -> bool:
    """Whether SQL holds this word, in any case."""
    return re.search(rf"\b{re.escape(word)}\b", code(sql), re.IGNORECASE) is not None


def fingerprint(parts: Iterable[str]) -> str:
    """Changes with the parts; white space is no meaning: an indented query is the same query."""
    return hashlib.sha256("\0".join(" ".join(part.split()) for part in parts).encode()).hexdigest()[:16]


def require_name(name: str, store: StoreName = "serving") -> None:
    """Raises DeclarationError for what is no name of a table in that store."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,47}", base_of(name)):
        raise DeclarationError(f"{name!r} is no name for a table: lower case letters, digits, underscores, at most 48")
    if store == "analytics" and name in TAKEN:
        raise DeclarationError(f"{name!r} is what the analytics store calls a table it works with; take another name")


def base_of(name: str) -> str:
    """The name that a version of a declared table has when it is the one that serves."""
    return name.removesuffix(NEXT).removesuffix(FORMER)


def listed(names: Iterable[str]) -> str:
    """Names as an error lists them."""
    return ", ".join(sorted(names))
