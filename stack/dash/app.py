"""The dashboard as a Textual application. Looks are taken in a thread of their own; drawing never waits for one."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import ClassVar

from pydantic import ValidationError
from rich.text import Text
from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.events import Resize
from textual.theme import Theme
from textual.widgets import DataTable, Footer, Input, Static

from config.settings import Settings
from queries.health import collect
from queries.pipeline import Health
from stack.dash import rows
from stack.dash.details import Details, details, made_of
from stack.dash.history import History
from stack.dash.picture import WIDTH, picture
from stack.dash.screens import Closer, Help
from stack.dash.signs import MARKS, mark
from stack.dash.table import PartTable
from stack.figures import duration
from stack.remedy import ailments

_INTERVALS_S = (0.5, 1.0, 2.0, 5.0, 10.0)
_NARROW = 100  # columns
_TALL = 30  # lines
_WIDE_SPARK = 40

_DARK = Theme(
    name="readside-dark", primary="#7aa2c8", accent="#7fb4ca", foreground="#d8dce3", background="#14171c",
    surface="#1b1f26", panel="#20252d", success="#8ec07c", warning="#e0af68", error="#e06c75", dark=True,
)  # fmt: skip
_LIGHT = Theme(
    name="readside-light", primary="#2f5d8a", accent="#1f6f8b", foreground="#1f2329", background="#fbfbf9",
    surface="#f3f3ef", panel="#e9e9e4", success="#3a7d34", warning="#96620a", error="#b3261e", dark=False,
)  # fmt: skip


class Dash(App[int]):
    """The pipeline, live. Its return value is the last look's health, None before the first."""

    CSS_PATH = "dash.tcss"
    TITLE = "readside"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "closer", "look closer", show=True),
        Binding("slash", "filter", "filter"),
        Binding("space", "pause", "pause"),
        Binding("r", "refresh", "now", show=False),
        Binding("plus,equals_sign", "interval(-1)", "faster", key_display="+", show=False),
        Binding("minus", "interval(1)", "slower", key_display="-", show=False),
        Binding("c", "copy", "copy command"),
        Binding("t", "theme", "theme"),
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("escape", "unfilter", "no filter", show=False),
        Binding("q", "quit", "quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]

    def __init__(self, settings: Settings, *, light: bool = False) -> None:
        super().__init__()
        self.settings = settings
        self.health: Health | None = None
        self.history = History()
        self._made_of = made_of(settings)
        self._interval_s = 1.0
        self._paused = False
        self._wanted = ""
        self._wake = threading.Event()
        self._ended = threading.Event()
        self.register_theme(_DARK)
        self.register_theme(_LIGHT)
        self.theme = _LIGHT.name if light else _DARK.name

    def compose(self) -> ComposeResult:
        yield Static(id="header")
        yield Static(id="picture")
        with Horizontal(id="top"):
            yield PartTable("components", id="components", show_header=False)
            yield PartTable("hops", id="hops")
        yield PartTable("read models", id="models")
        with VerticalScroll(id="why"):
            yield Static(id="reasons")
        yield Static(id="command")
        yield Input(id="filter", placeholder="part of a name; enter keeps it, escape ends it")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one("#picture").border_title = "pipeline"
        self.query_one("#why").border_title = "why, and what to do"
        self.query_one("#hops").focus()
        self._head()
        self._look()

    def on_unmount(self) -> None:
        self._ended.set()
        self._wake.set()

    @work(thread=True)
    def _look(self) -> None:
        """Look again and again, until the application ends."""
        while not self._ended.is_set():
            if not self._paused:
                health = collect(self.settings)
                if self._ended.is_set():
                    return
                self.call_from_thread(self.show, health)
            self._wake.wait(None if self._paused else self._interval_s)
            self._wake.clear()
            self._find()

    def _find(self) -> None:
        """A stack that was started or stopped since has other addresses."""
        try:
            self.settings = type(self.settings)(data_dir=self.settings.data_dir)
        except ValidationError:
            return  # somebody edits a file of settings: what is known goes on being looked at

    def show(self, health: Health) -> None:
        """Draw a look."""
        self.health = health
        self.history.add(health)
        self.draw()

    def draw(self) -> None:
        """Draw the last look, as the filter and the size of the terminal want it."""
        self._head()
        if (health := self.health) is None:
            return
        note = max(0, self.size.width - 60)
        self.query_one("#components", PartTable).show(
            (("", 2), ("", 20), *([] if self._narrow else [("pid", 8)]), ("", 3)),
            [self._component(row) for row in rows.components(health, self._wanted)],
        )
        spark = self._spark
        self.query_one("#hops", PartTable).show(
            (("", 2), ("hop", 10), ("   /s", 6), ("", spark + 1), ("  behind", 9), ("   lag", 7), ("", spark)),
            rows.hops(health, self.history, self._wanted, spark=spark),
        )
        self.query_one("#models", PartTable).show(
            (("", 2), ("model", 20), ("store", 10), ("     rows", 10), (" ver", 5), (" fresh", 7), ("", note)),
            rows.models(health, self._made_of, self._wanted, now=datetime.now(UTC)),
        )
        self.query_one("#picture", Static).update(picture(health))
        self._explain(health)
        self._suggest()

    @property
    def _narrow(self) -> bool:
        return self.size.width < _NARROW

    @property
    def _spark(self) -> int:
        """How wide a sparkline may be: what borders, the components and the other columns leave, for two of them."""
        taken = (29 if self._narrow else 37) + 4 + 35 + 1
        return max(0, min(_WIDE_SPARK, (self.size.width - taken) // 2))

    def _component(self, row: rows.Row) -> rows.Row:
        return rows.Row(row.kind, row.name, row.cells[:2] + row.cells[3:]) if self._narrow else row

    def _head(self) -> None:
        health = self.health
        state = Text.assemble(mark(health.state), " ", health.state) if health else Text("looking …", style="dim")
        pace = Text("paused", style="bold reverse") if self._paused else Text(f"every {duration(self._interval_s)}")
        parts = [Text("readside", style="bold"), state]
        if health:
            parts.append(Text(f"{health.dead_letters} dead letters", style="yellow" if health.dead_letters else "dim"))
        parts.append(pace)
        if self._wanted:
            parts.append(Text(f"/{self._wanted}", style="cyan"))
        parts.append(Text(rows.clock(datetime.now(UTC)), style="dim"))
        self.query_one("#header", Static).update(Text("   ").join(parts))

    def _explain(self, health: Health) -> None:
        panel = self.query_one("#why")
        panel.set_class(health.state == "degraded", "wrong").set_class(health.state == "down", "down")
        lines: list[Text] = []
        for ailment in ailments(health, self.settings.data_dir):
            lines += [
                Text.assemble(mark(ailment.state), " ", (names, "bold"), f" {why}") for names, why in ailment.reasons
            ]
            lines.append(Text.assemble("  $ ", (ailment.command, "cyan")))
        self.query_one("#reasons", Static).update(Text("\n").join(lines or [Text("nothing is wrong", "dim")]))

    @on(DataTable.RowHighlighted)
    def _suggest(self) -> None:
        if self.health is not None:
            said = Text.assemble(("$ ", "dim"), self._command(), ("   enter looks closer, c copies this", "dim"))
            self.query_one("#command", Static).update(said)

    def _command(self) -> str:
        return rows.command(self._chosen, self.health, self.settings.data_dir) if self.health else "readside status"

    @property
    def _chosen(self) -> rows.Row | None:
        """The row under the cursor of the table that has the focus."""
        return self.focused.chosen if isinstance(self.focused, PartTable) else None

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.width < _NARROW, "narrow")
        self.set_class(event.size.height < _TALL, "short")
        self.set_class(event.size.width >= WIDTH and event.size.height >= _TALL, "tall")
        self.draw()

    @on(DataTable.RowSelected)
    def action_closer(self) -> None:
        """Look closer at the row under the cursor."""
        if (row := self._chosen) is not None and self.health is not None:
            self._open(row, self.health, self._command())

    @work(thread=True, group="closer")
    def _open(self, row: rows.Row, health: Health, command: str) -> None:
        shown = details(self.settings, health, row, command)
        self.call_from_thread(self._push, shown)

    def _push(self, shown: Details) -> None:
        if not isinstance(self.screen, Closer):
            self.push_screen(Closer(shown))

    def action_filter(self) -> None:
        """Type a part of a name."""
        field = self.query_one("#filter", Input)
        field.add_class("open")
        field.focus()

    @on(Input.Changed, "#filter")
    def _narrow_down(self, event: Input.Changed) -> None:
        self._wanted = event.value.strip()
        self.draw()

    @on(Input.Submitted, "#filter")
    def _keep_filter(self) -> None:
        self.query_one("#filter").remove_class("open")
        self.query_one("#models").focus()

    def action_unfilter(self) -> None:
        """Show everything again."""
        field = self.query_one("#filter", Input)
        field.value = ""
        self._keep_filter()

    def action_pause(self) -> None:
        """Stop looking, or go on."""
        self._paused = not self._paused
        self._head()
        self._wake.set()

    def action_refresh(self) -> None:
        """Look now."""
        self._wake.set()

    def action_interval(self, step: int) -> None:
        """Look more often, or less."""
        place = _INTERVALS_S.index(self._interval_s) + step
        self._interval_s = _INTERVALS_S[max(0, min(len(_INTERVALS_S) - 1, place))]
        self._head()
        self._wake.set()

    def action_copy(self) -> None:
        """Put the command that is shown into the clipboard, as far as the terminal lets programs do that."""
        self.copy_to_clipboard(self._command())
        self.notify(self._command(), title="copied")

    def action_theme(self) -> None:
        """Dark, or light."""
        self.theme = _LIGHT.name if self.theme == _DARK.name else _DARK.name

    def action_help(self) -> None:
        """Say what the keys do and what the signs mean."""
        keys = [
            ("tab, arrows", "go through the tables and their rows; the mouse does, too"),
            ("enter", "look closer: a component's log, a hop's partitions, what a read model is made of"),
            ("/", "show only what has this in its name; escape shows all again"),
            ("space", "pause, and go on"),
            ("r", "look now"),
            ("+ and -", "look more often, or less"),
            ("c", "copy the command at the bottom"),
            ("t", "dark or light"),
            ("q", "quit"),
        ]
        means = {"ok": "well", "unknown": "nobody looked: a setting is missing", "degraded": "late or incomplete"}
        signs = [(mark(state), f"{state}: {means.get(state, 'does not work')}") for state in MARKS]
        self.push_screen(Help(keys, signs))
