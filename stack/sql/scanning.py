"""What in a text is SQL and what only looks like it: the lexical structure of DuckDB's SQL, as far as a prompt needs it.

Enough to find the ``;`` that end statements, the names a statement uses, and whether a quotation or comment is still open.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["word", "name", "string", "comment", "mark", "other"]

_TOKEN = re.compile(
    r"""
      (?P<space>    \s+)
    | (?P<escaped>  [eE]'(?: [^'\\] | \\(?:.|\Z) | '' )*+ (?: ' | (?P<escaped_open>\Z) ))
    | (?P<string>   '[^']*(?: ''[^']* )* (?: ' | (?P<string_open>\Z) ))
    | (?P<name>     "[^"]*(?: ""[^"]* )* (?: " | (?P<name_open>\Z) ))
    | (?P<line>     --[^\n\r]*)
    | (?P<block>    /\*)
    | (?P<dollar>   \$(?: [^\W\d]\w* )?\$)
    | (?P<word>     [^\W\d][\w$]*)
    | (?P<number>   \d[\w.]*)
    | (?P<mark>     [;()\[\]{}.,])
    | (?P<other>    .)
    """,
    re.VERBOSE | re.DOTALL,
)
_SPACE = re.compile(r"\s*")
_BLOCK = re.compile(r"/\*|\*/")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a text; ``name`` is a quoted identifier, ``mark`` one of ``;()[]{}.,``."""

    kind: Kind
    text: str
    start: int  #: of its first character in the text
    open: bool = False  #: a quotation or block comment that the text ends in


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement, without its ``;``."""

    text: str
    #: Ended by ``;``; the last one of a text may not be.
    ended: bool


@dataclass(frozen=True, slots=True)
class Command:
    """A line that begins with a backslash where a statement could begin; without it."""

    text: str


def tokens(text: str, at: int = 0) -> Iterator[Token]:
    """The tokens of a text from there on, in order, without the space between them."""
    while found := _TOKEN.match(text, at):
        kind, end, still_open = found.lastgroup, found.end(), False
        match kind:
            case "block":
                end, still_open = _end_of_block(text, at)
            case "dollar":
                closed = text.find(found[0], end)
                end, still_open = (len(text), True) if closed < 0 else (closed + len(found[0]), False)
            case "escaped" | "string" | "name":
                still_open = found[f"{kind}_open"] is not None
            case _:
                pass
        if kind != "space":
            yield Token(_KINDS.get(kind or "", "other"), text[at:end], at, still_open)
        at = end


_KINDS: dict[str, Kind] = {
    "escaped": "string",
    "string": "string",
    "dollar": "string",
    "name": "name",
    "line": "comment",
    "block": "comment",
    "word": "word",
    "mark": "mark",
}


def _end_of_block(text: str, at: int) -> tuple[int, bool]:
    """Where a block comment ends, and whether it is still open there; they nest."""
    depth = 0
    for found in _BLOCK.finditer(text, at):
        depth += 1 if found[0] == "/*" else -1
        if depth == 0:
            return found.end(), False
    return len(text), True


def pieces(text: str) -> Iterator[Statement | Command]:
    """The statements and backslash commands of a text, in order; what is only comments is none."""
    at = 0
    while at < len(text):
        begin = _SPACE.match(text, at).end()  # pyright: ignore[reportOptionalMemberAccess]: it matches nothing, too
        says = next((token for token in tokens(text, begin) if token.kind != "comment" or token.open), None)
        if says is not None and says.text == "\\":
            at = _end_of_line(text, says.start)
            yield Command(text[says.start + 1 : at].strip())
            continue
        statement, at = _statement(text, begin)
        if statement is not None:
            yield statement


def _end_of_line(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found


def _statement(text: str, at: int) -> tuple[Statement | None, int]:
    """The statement that begins there, None where nothing but comments is left or ``;`` stands alone; and its end."""
    says = False
    for token in tokens(text, at):
        if token.kind == "mark" and token.text == ";":
            end = token.start
            return Statement(text[at:end].strip(), True) if says else None, end + 1
        says = says or token.kind != "comment" or token.open
    return Statement(text[at:].strip(), False) if says else None, len(text)


def is_whole(text: str) -> bool:
    """Whether no quotation, comment or bracket is still open, so that the text could be a whole statement."""
    depth = 0
    for token in tokens(text):
        if token.open:
            return False
        if token.kind == "mark":
            depth += (token.text in "([{") - (token.text in ")]}")
    return depth <= 0


def is_ended(text: str) -> bool:
    """Whether the text's last statement is ended by ``;``, or a command is its last piece."""
    last = next(iter(deque(pieces(text), maxlen=1)), None)
    return isinstance(last, Command) or (last is not None and last.ended)
