"""The prompt: line editing, statements over several lines, history, completion."""

from __future__ import annotations

from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.output import Output, create_output
from pygments.lexers.sql import SqlLexer

from stack.errors import StackError
from stack.sql.asking import Store
from stack.sql.completion import SqlCompleter
from stack.sql.history import PrivateHistory
from stack.sql.scanning import Command, Statement, is_ended, is_whole, pieces
from stack.sql.session import COMMANDS, VALUES, Session, said_of
from stack.terminal import talk

PROMPT, CONTINUED = "readside> ", "      ...> "
_WORDS = {"exit": "q", "quit": "q", "help": "?"}  # what people type before they know the backslash


def converse(
    session: Session,
    store: Store,
    *,
    history: Path,
    secret: str | None,
    timeout_s: float,
    input: Input | None = None,
    output: Output | None = None,
) -> int:
    """Read and run until Ctrl-D or ``\\q``; answer with the exit code. An error is said, and the conversation goes on."""
    _greet(session, store)
    prompt: PromptSession[str] = PromptSession(
        PROMPT,
        multiline=True,
        prompt_continuation=CONTINUED,
        history=_history(history, secret),
        completer=SqlCompleter(lambda: session.catalog, COMMANDS, dict(VALUES)),
        complete_while_typing=False,
        lexer=PygmentsLexer(SqlLexer),
        key_bindings=_bindings(),
        editing_mode=EditingMode.EMACS,
        enable_history_search=False,
        input=input,
        # Where rows go to a pipe, what is typed is still shown on the terminal.
        output=output or create_output(always_prefer_tty=True),
    )
    while True:
        typed: str | None = None
        try:
            typed = prompt.prompt()
            if not all(session.do(piece) for piece in typed_pieces(typed)):
                return 0
        except EOFError:
            return 0
        except StackError as exc:
            talk.print(str(exc), style="red", markup=False)
        except KeyboardInterrupt:
            if typed is not None:  # what was being typed is just gone
                talk.print(f"abandoned; the server itself stops it after {timeout_s:g} s at most", style="dim")


def typed_pieces(typed: str) -> list[Statement | Command]:
    """What was typed, in pieces; a bare ``exit``, ``quit`` or ``help`` is the command."""
    word = typed.strip().rstrip(";").casefold()
    return [Command(_WORDS[word])] if word in _WORDS else list(pieces(typed))


def is_finished(text: str, before_cursor: str) -> bool:
    """Whether Enter runs the text: it is a command, ended by ``;``, or whole with an empty line at its end."""
    if not text.strip() or text.strip().casefold() in _WORDS or is_ended(text):
        return True
    at_the_end = before_cursor.rstrip() == text.rstrip()
    on_empty_line = before_cursor.rpartition("\n")[2].strip() == ""
    return at_the_end and on_empty_line and is_whole(text)


def _greet(session: Session, store: Store) -> None:
    try:
        found = session.refresh()
    except StackError as exc:
        talk.print(str(exc), style="red", markup=False)
    else:
        talk.print(
            f"The analytics store at {store.address}: {len(found.tables)} tables, {said_of(found.freshness)}",
            markup=False,
        )
    talk.print("\\d lists the tables, \\? the commands; Ctrl-D leaves", style="dim", markup=False)


def _history(path: Path, secret: str | None) -> History:
    try:
        return PrivateHistory(path, secret)
    except StackError as exc:
        talk.print(f"what is typed is not kept: {exc}", style="dim", markup=False)
        return InMemoryHistory()


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @Condition
    def completion_is_chosen() -> bool:
        state = get_app().current_buffer.complete_state
        return state is not None and state.current_completion is not None

    @bindings.add("enter", filter=completion_is_chosen)
    def take_completion(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None

    @bindings.add("enter", filter=~completion_is_chosen)
    def run_or_go_on(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_finished(buffer.text, buffer.document.text_before_cursor):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    del take_completion, run_or_go_on  # bound by their decorators
    return bindings
