"""The command line of readside: parses, and calls one module per command. Each is imported only when it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.exceptions import TyperException

# In the order in which the help shows them.
from stack.cli import running  # isort: split

from stack.cli import reading  # isort: split

from stack.cli import letters  # isort: split

from stack.cli import rebuilding  # isort: split

from stack.cli import proving
from stack.cli.options import app
from stack.errors import StackError

__all__ = ["letters", "proving", "reading", "rebuilding", "run", "running"]

EXIT_FAILED, EXIT_USAGE = 2, 64


def run(arguments: Sequence[str]) -> int:
    """Run one command and answer with the exit code; every error becomes one message on standard error."""
    from stack.terminal import talk

    try:
        code: Any = app(list(arguments), prog_name="readside", standalone_mode=False)
    except TyperException as exc:
        if said := exc.format_message():  # nothing when help was shown instead
            talk.print(f"readside: {said.rstrip('.')}; see `readside --help`", markup=False)
        return EXIT_USAGE
    except StackError as exc:
        talk.print(f"readside: {exc}", markup=False)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT
    return code if isinstance(code, int) else 0
