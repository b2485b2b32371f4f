"""What the words of a search must match: by prefix; and where nothing does, what is spelled nearly like them."""

from __future__ import annotations

import re

from psycopg import sql

from queries.listings import Candidates

#: A word that may be a misspelled one, hyphens and the like aside. A number is meant as it is typed, and of short words
#: too many are alike.
_SPELLED = re.compile(r"(?:[\W_]*[^\W\d_]){4,}[\W_]*", re.UNICODE)

_EXACT = sql.SQL("m.search @@ to_tsquery('simple', %(search)s)")


def search(text: str | None) -> Candidates | None:
    """The rows that match by their columns ``search`` (tsvector, simple) and ``names`` (lower case, trigrams indexed).

    Near matches are shown only when nothing matches exactly: a slip gives all of them, and a search that was typed right
    gives nothing else.
    """
    words = (text or "").split()
    if not words:
        return None
    values: dict[str, str | int | None] = {"search": " & ".join(map(_prefix, words))}
    words = [word for word in words if any(map(str.isalnum, word))]  # no text has the others
    if not any(map(_SPELLED.fullmatch, words)):
        return Candidates(exact=_EXACT, values=values)
    near: list[sql.Composable] = []
    for number, word in enumerate(words):
        values[f"prefix{number}"] = _prefix(word)
        condition = sql.SQL("m.search @@ to_tsquery('simple', {})").format(sql.Placeholder(f"prefix{number}"))
        if _SPELLED.fullmatch(word):
            values[f"word{number}"] = word.lower()
            condition = sql.SQL("({} or m.names %%> {})").format(condition, sql.Placeholder(f"word{number}"))
        near.append(condition)
    return Candidates(exact=_EXACT, near=sql.SQL(" and ").join(near), values=values)


def _prefix(word: str) -> str:
    """A tsquery that wants a word as a prefix.

    The word is quoted, so that operators in it are text, and PostgreSQL splits it as it split the stored words.
    """
    quoted = word.replace("\\", "\\\\").replace("'", "''")
    return f"'{quoted}':*"
