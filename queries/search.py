"""What the words of a search must match: by prefix; and where nothing does, what is spelled nearly like them."""

from __future__ import annotations

import re

from psycopg import sql

from queries.listings import Filter

#: A word that may be a misspelled one. A number is meant as it is typed, and of short words too many are alike.
_SPELLED = re.compile(r"[^\W\d_]{4,}", re.UNICODE)

_EXACT = sql.SQL("m.search @@ to_tsquery('simple', %(search)s)")
# Looked for only when no row matches exactly, whatever the other filters: a slip gives all near matches, and a search
# that was typed right gives nothing else. One condition, so that the pages of one search are of one kind.
_NEAR = sql.SQL(
    """({exact} or (
        not exists (select 1 from {model} m where {exact})
        and {words}))"""
)


def search_filter(model: str, search: str | None) -> Filter:
    """A filter on ``model``'s columns ``search`` (tsvector, simple) and ``names`` (text, lower case, trigrams indexed)."""
    words = (search or "").split()
    if not words:
        return Filter(_EXACT, {"search": None})
    values: dict[str, str | int | None] = {"search": " & ".join(map(_prefix, words))}
    if not any(map(_SPELLED.fullmatch, words)):
        return Filter(_EXACT, values)
    conditions: list[sql.Composable] = []
    for number, word in enumerate(words):
        values[f"prefix{number}"] = _prefix(word)
        condition = sql.SQL("m.search @@ to_tsquery('simple', {})").format(sql.Placeholder(f"prefix{number}"))
        if _SPELLED.fullmatch(word):
            values[f"word{number}"] = word.lower()
            condition = sql.SQL("({} or m.names %%> {})").format(condition, sql.Placeholder(f"word{number}"))
        conditions.append(condition)
    near = _NEAR.format(
        exact=_EXACT, model=sql.Identifier("read_models", model), words=sql.SQL(" and ").join(conditions)
    )
    return Filter(near, values)


def _prefix(word: str) -> str:
    """A tsquery that wants a word as a prefix.

    The word is quoted, so that operators in it are text, and PostgreSQL splits it as it split the stored words.
    """
    quoted = word.replace("\\", "\\\\").replace("'", "''")
    return f"'{quoted}':*"
