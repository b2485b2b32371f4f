"""What a line typed at the prompt, or read from a script, does: statements and backslash commands, and where rows go."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Literal, get_args

from rich.text import Text

from stack import terminal
from stack.errors import StackError
from stack.sql import catalog, files
from stack.sql.asking import CSV, Freshness, Rows, Store
from stack.sql.catalog import Catalog
from stack.sql.files import Target
from stack.sql.scanning import Command, Statement
from stack.sql.tables import markdown, table
from stack.sql.visible import json_visible, visible
from stack.terminal import data, json_text, talk

Format = Literal["table", "csv", "json", "markdown"]
FORMATS: tuple[str, ...] = get_args(Format)
ROWS_SHOWN = 100  # of a table at the prompt
#: How to see all of a table that is cut: at the prompt, and outside of it.
INSIDE, OUTSIDE = "all: `\\rows all`, `\\format csv`, `\\o FILE`", "all: --output csv, or --to FILE"

#: The backslash commands, and what each does.
COMMANDS = {
    "?": "this help",
    "d": "the tables, with their comments; `\\d TABLE` the columns of one",
    "timing": "on or off: the milliseconds from question to answer",
    "format": "how rows are shown: table, csv, json or markdown",
    "rows": f"how many rows of a table are shown, or all; {ROWS_SHOWN} at first",
    "o": "`\\o FILE` writes the next result to it: .parquet .csv .json .ndjson; `\\o`: to none",
    "o!": "the same, in place of a file that exists",
    "o+": "the same, even if the row limit cuts the answer off",
    "q": "leave, as Ctrl-D does",
}
VALUES = {"timing": ("on", "off"), "format": FORMATS, "rows": ("all", "40", str(ROWS_SHOWN), "1000")}


class Session:
    """One conversation with the store: how rows are shown, where they go next, and what tables there are."""

    def __init__(self, store: Store, *, format: Format, most_rows: int | None = None) -> None:
        self._store = store
        self._format: str = format
        self._most_rows = most_rows
        self._timing = False
        self._target: Target | None = None
        #: Rows that the limit cut off went to a program that cannot see it in them: in JSON it can.
        self.silently_cut = False
        self.catalog = catalog.EMPTY

    def refresh(self) -> Catalog:
        """Fetch the tables anew. Raises StackError."""
        self.catalog = catalog.fetch(self._store)
        return self.catalog

    def do(self, piece: Statement | Command) -> bool:
        """Run a statement or a command; False when it says to leave. Raises StackError."""
        if isinstance(piece, Command):
            return self._command(piece.text)
        self.run(piece.text)
        return True

    def run(self, statement: str, target: Target | None = None) -> None:
        """Run one statement and show or write its rows. Raises StackError."""
        target = target or self._target
        began = time.monotonic()
        if target is not None:
            written = files.write(self._store, statement, target)
            self._target = None
            words = f"{counted(written.rows)} in {written.path} ({_size(written.size_bytes)})"
            self._say(words, written.truncated, written.freshness, began)
            return
        if self._format == "csv":
            answer = self._store.encoded(statement, CSV)
            text = answer.content.decode()
            sys.stdout.write(visible(text.replace("\r\n", "\n"), keep="\n") if sys.stdout.isatty() else text)
            count, truncated, freshness = files.rows_of_csv(text), answer.truncated, answer.freshness
        else:
            rows = self._store.rows(statement)
            self._show(rows)
            count, truncated, freshness = len(rows.rows), rows.truncated, rows.freshness
        sys.stdout.flush()
        self._say(counted(count), truncated, freshness, began)
        self.silently_cut |= truncated and self._format != "json" and not sys.stdout.isatty()

    def _show(self, rows: Rows) -> None:
        match self._format:
            case "json":
                sys.stdout.write(json_visible(json_text(rows.body)))
            case "markdown":
                sys.stdout.write(markdown(rows))
            case _:
                way = OUTSIDE if self._most_rows is None else INSIDE
                show_table(rows, most_rows=self._most_rows, way=way)

    def _say(self, what: str, truncated: bool, freshness: Freshness, began: float) -> None:
        parts = [what]
        if truncated:
            parts[0] += ", cut off by the limit READSIDE_SQL_ROWS"
        parts.append(said_of(freshness))
        if self._timing:
            parts.append(f"{(time.monotonic() - began) * 1000:.0f} ms")
        talk.print(", ".join(parts), style="yellow" if truncated else "dim", markup=False)

    def _command(self, line: str) -> bool:
        name, _, argument = line.partition(" ")
        argument = argument.strip()
        match name:
            case "q":
                return False
            case "?":
                talk.print(HELP, markup=False)
            case "d" | "dt" | "d+":
                head, lines = catalog.described(self.refresh(), argument or None)
                data.print(terminal.table(head, ([Text(text) for text in line] for line in lines)))
            case "timing":
                self._timing = _chosen("timing", argument, ("on", "off"), "off" if self._timing else "on") == "on"
                talk.print(f"timing is {'on' if self._timing else 'off'}")
            case "format":
                self._format = _chosen("format", argument, FORMATS, self._format)
                talk.print(f"rows are shown as {self._format}")
            case "rows":
                self._most_rows = _row_count(argument, self._most_rows)
                talk.print("all rows are shown" if self._most_rows is None else f"{self._most_rows} rows are shown")
            case "o" | "o!" | "o+" | "o!+" | "o+!":
                self._set_target(argument, force="!" in name, allow_truncated="+" in name)
            case _:
                raise StackError(f"there is no command \\{visible(name)}; \\? lists those there are")
        return True

    def _set_target(self, argument: str, *, force: bool, allow_truncated: bool) -> None:
        if not argument:
            talk.print("the next result is shown" if self._target else "no file was set")
            self._target = None
            return
        try:
            words = shlex.split(argument)
        except ValueError as exc:
            raise StackError(f"the file's name cannot be read: {exc}") from exc
        if len(words) != 1:
            raise StackError(f"one file at a time, these are {len(words)}; put a name with spaces in quotation marks")
        try:
            path = Path(words[0]).expanduser()
        except RuntimeError as exc:
            raise StackError(f"{visible(words[0])}: {exc}; name the directory") from exc
        target = Target(path=path, force=force, allow_truncated=allow_truncated)
        target.check()
        self._target = target
        talk.print(f"the next result goes to {visible(words[0])}", markup=False)


HELP = "\n".join([
    "A statement is run at `;`, or at an empty line after a whole one; Ctrl-C abandons it. Tab completes.",
    "The row and time limits are the server's: READSIDE_SQL_ROWS, READSIDE_SQL_TIMEOUT_S.",
    *(f"  \\{name:<8}{what}" for name, what in COMMANDS.items()),
])  # fmt: skip


def show_table(rows: Rows, *, most_rows: int | None = None, way: str = OUTSIDE) -> None:
    """Print rows as a table: on a terminal cut to its width, with the way to see all."""
    shown = table(rows, width=data.width if data.is_terminal else None, most_rows=most_rows)
    for line in shown.lines:
        data.print(line, soft_wrap=True)
    if shown.cut:
        talk.print(f"({shown.cut}; {way})", style="dim", markup=False)


def counted(rows: int) -> str:
    """A number of rows in words."""
    return f"{rows:,} row" + ("" if rows == 1 else "s")


def said_of(freshness: Freshness) -> str:
    """Which moment an answer shows, in words."""
    words = f"as of {freshness.as_of or 'unknown'}"
    if freshness.lag_ms is not None:
        words += f", lag {_duration(freshness.lag_ms)}"
    return f"{words}, incomplete: {visible(freshness.incomplete)}" if freshness.incomplete else words


def _duration(ms: int) -> str:
    if ms < 1000:
        return f"{ms} ms"
    seconds = ms / 1000
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _size(size_bytes: int) -> str:
    return f"{size_bytes:,} bytes" if size_bytes < 10_000 else f"{size_bytes / 1024:,.0f} KiB"


def _chosen(name: str, argument: str, choices: tuple[str, ...], otherwise: str) -> str:
    if argument and argument not in choices:
        raise StackError(f"\\{name} takes {', '.join(choices)}, not {visible(argument)}")
    return argument or otherwise


def _row_count(argument: str, otherwise: int | None) -> int | None:
    if not argument:
        return otherwise
    if argument == "all":
        return None
    if not argument.isdecimal() or int(argument) == 0:
        raise StackError(f"\\rows takes a number from 1 on, or all; not {visible(argument)}")
    return int(argument)
