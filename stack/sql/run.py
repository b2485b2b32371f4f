"""What ``readside sql`` does with its arguments: one statement, a script on standard input, or the prompt."""

from __future__ import annotations

import sys
from pathlib import Path

from config.environment import state_directory
from config.settings import Settings
from stack.errors import StackError
from stack.sql.asking import store_of
from stack.sql.files import Target
from stack.sql.scanning import pieces
from stack.sql.session import ROWS_SHOWN, Format, Session
from stack.terminal import talk

EXIT_DEGRADED = 1


def run(
    settings: Settings,
    statement: str | None,
    *,
    output: Format | None,
    to: Path | None = None,
    force: bool = False,
    allow_truncated: bool = False,
) -> int:
    """Run one statement; without one, a script where standard input is not a terminal, else the prompt."""
    target = None if to is None else Target(path=to, force=force, allow_truncated=allow_truncated)
    format: Format = output or ("table" if sys.stdout.isatty() else "json")
    with store_of(settings) as store:
        if statement is None and sys.stdin.isatty():
            from stack.sql.prompt import converse

            return converse(
                Session(store, format=format, most_rows=ROWS_SHOWN),
                store,
                history=state_directory() / "sql-history",
                secret=settings.token.get_secret_value() if settings.token else None,
                timeout_s=settings.sql_timeout_s,
            )
        session = Session(store, format=format)
        if statement is not None:
            session.run(statement, target)
        elif not _script(session, sys.stdin.read()):
            return EXIT_DEGRADED
        return EXIT_DEGRADED if session.silently_cut and not allow_truncated else 0


def _script(session: Session, text: str) -> bool:
    """Run statement after statement; False at the first that fails, which is the last."""
    for piece in pieces(text):
        try:
            if not session.do(piece):
                break
        except StackError as exc:
            talk.print(f"readside: {exc}", markup=False)
            return False
    return True
