"""The dashboard's windows over the dashboard: a closer look at one row, and the help."""

from __future__ import annotations

from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from stack.dash.details import Details

_LEAVE: list[BindingType] = [
    Binding("escape", "dismiss", "back"),
    Binding("enter", "dismiss", "back", show=False),
    Binding("q", "dismiss", "back", show=False),
]


class Closer(ModalScreen[None]):
    """One row, looked at closely."""

    BINDINGS: ClassVar[list[BindingType]] = [*_LEAVE, Binding("c", "copy", "copy the command")]

    def __init__(self, shown: Details) -> None:
        super().__init__()
        self._shown = shown

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="box") as box:
            box.border_title = self._shown.heading
            box.border_subtitle = "escape: back, c: copy the command"
            yield Static(Text(f"$ {self._shown.command}"), classes="command")
            yield Static(self._shown.body)

    def action_copy(self) -> None:
        """Put the command into the clipboard, as far as the terminal lets programs do that."""
        self.app.copy_to_clipboard(self._shown.command)
        self.notify(self._shown.command, title="copied")


class Help(ModalScreen[None]):
    """The keys, and what the signs mean."""

    BINDINGS: ClassVar[list[BindingType]] = [*_LEAVE, Binding("question_mark", "dismiss", "back", show=False)]

    def __init__(self, keys: list[tuple[str, str]], signs: list[tuple[Text, str]]) -> None:
        super().__init__()
        self._keys, self._signs = keys, signs

    def compose(self) -> ComposeResult:
        shown = Table.grid(padding=(0, 2))
        shown.add_column(no_wrap=True)
        for key, does in self._keys:
            shown.add_row(Text(key, style="bold"), does)
        shown.add_row("", "")
        for sign, means in self._signs:
            shown.add_row(sign, means)
        with VerticalScroll(classes="box") as box:
            box.border_title = "help"
            box.border_subtitle = "escape: back"
            yield Static(shown)
