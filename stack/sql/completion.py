"""What could come next while a statement is typed: columns of the tables it names first, then tables, words, the rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from stack.sql.catalog import Catalog
from stack.sql.scanning import Token, tokens
from stack.sql.visible import visible
from stack.sql.vocabulary import FUNCTIONS, KEYWORDS

#: Words after which the name of a table comes.
_BEFORE_TABLE = frozenset({"from", "join", "describe", "summarize", "table"})
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that could take the place of the last ``replaced`` characters before the cursor."""

    text: str
    replaced: int
    what: str  #: said beside it


def candidates(before: str, after: str, catalog: Catalog) -> Iterator[Candidate]:
    """What could be at the cursor between these two texts, the likeliest first; each text once."""
    said = list(tokens(before))
    word = said.pop() if said and _touches(said[-1], before) and said[-1].kind in ("word", "name") else None
    if word is None and said and said[-1].kind in ("string", "comment") and _touches(said[-1], before):
        return  # nothing to be completed inside of these
    typed = word.text.strip('"') if word else ""
    replaced = len(word.text) if word else 0
    seen: set[str] = set()
    for text, what in _ordered(said, word, [*said, *tokens(after)], catalog):
        if text.strip('"').casefold().startswith(typed.casefold()) and text not in seen:
            seen.add(text)
            yield Candidate(text, replaced, what)


def _touches(token: Token, text: str) -> bool:
    return token.start + len(token.text) == len(text)


def _ordered(said: list[Token], word: Token | None, whole: list[Token], catalog: Catalog) -> Iterator[tuple[str, str]]:
    named = _named(_own_statement(said, whole), catalog)
    if said and said[-1].text == ".":
        qualifier = said[-2].text.strip('"').casefold() if len(said) > 1 else ""
        yield from _columns(catalog, [named.get(qualifier, qualifier)])
        return
    before = [token.text.casefold() for token in said if token.kind == "word"]
    if said and said[-1].kind == "word" and before[-1] in _BEFORE_TABLE:
        yield from _tables(catalog)
        return
    yield from _columns(catalog, dict.fromkeys(named.values()))
    if word is None:  # nothing is typed: only what is of this statement
        yield from _tables(catalog)
        return
    cased = str.upper if word.text.isupper() else str.lower
    yield from _tables(catalog)
    yield from ((cased(keyword), "") for keyword in KEYWORDS)
    yield from ((f"{cased(function)}(", "function") for function in FUNCTIONS)
    yield from _columns(catalog, catalog.tables)


def _own_statement(said: list[Token], whole: list[Token]) -> list[Token]:
    """The tokens of the statement that the cursor is in."""
    ends = [place for place, token in enumerate(whole) if token.text == ";" and token.kind == "mark"]
    begin = max((end + 1 for end in ends if end < len(said)), default=0)
    end = min((end for end in ends if end >= len(said)), default=len(whole))
    return whole[begin:end]


def _named(statement: list[Token], catalog: Catalog) -> dict[str, str]:
    """The tables a statement names, by what it calls them: their names and aliases."""
    names = [token for token in statement if token.kind != "comment"]
    called: dict[str, str] = {}
    tables = {name.casefold(): name for name in catalog.tables}
    for place, token in enumerate(names):
        table = tables.get(token.text.strip('"').casefold()) if token.kind in ("word", "name") else None
        if table is None:
            continue
        called[table.casefold()] = table
        following = [
            later.text.strip('"').casefold() for later in names[place + 1 : place + 3] if later.kind in ("word", "name")
        ]
        if following and following[0] == "as":
            following.pop(0)
        if following and following[0] not in KEYWORDS:
            called[following[0]] = table
    return called


def _tables(catalog: Catalog) -> Iterator[tuple[str, str]]:
    for table in catalog.tables.values():
        yield quoted(table.name), visible(table.comment or "table")


def _columns(catalog: Catalog, tables: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in tables:
        table = catalog.tables.get(name)
        for column in table.columns if table else ():
            yield quoted(column.name), f"{name}: {column.type}"


def quoted(name: str) -> str:
    """A name as SQL needs it: in quotation marks unless it is plain and no keyword."""
    return name if _PLAIN.fullmatch(name) and name not in KEYWORDS else '"' + name.replace('"', '""') + '"'


class SqlCompleter(Completer):
    """Completes SQL, backslash commands, and what these take."""

    def __init__(
        self, catalog: Callable[[], Catalog], commands: dict[str, str], values: dict[str, Iterable[str]]
    ) -> None:
        self._catalog = catalog
        self._commands = commands
        self._values = values
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What prompt_toolkit asks for."""
        before = document.text_before_cursor
        if before.lstrip().startswith("\\"):
            yield from self._of_command(before.lstrip()[1:], complete_event)
            return
        for found in candidates(before, document.text_after_cursor, self._catalog()):
            yield Completion(found.text, -found.replaced, display_meta=found.what)

    def _of_command(self, typed: str, event: CompleteEvent) -> Iterable[Completion]:
        name, space, argument = typed.partition(" ")
        if not space:
            for command, what in self._commands.items():
                if command.startswith(name):
                    yield Completion(command, -len(name), display_meta=what)
        elif name.rstrip("!+") == "o":
            yield from self._paths.get_completions(Document(argument), event)
        else:
            for value in [*self._catalog().tables] if name == "d" else self._values.get(name, ()):
                if value.startswith(argument):
                    yield Completion(value, -len(argument))
