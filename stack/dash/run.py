"""``readside dash``: the live dashboard, or one frame of it as plain text."""

from __future__ import annotations

import sys

from config.settings import Settings
from stack.errors import StackError
from stack.status import exit_code, look, screen
from stack.terminal import data


def run(settings: Settings, *, once: bool, light: bool) -> int:
    """Show it until it is left. Exit code of the last look: 0 ok, 1 degraded, 2 down."""
    if once:
        health = look(settings)
        data.print(screen(health, settings))
        return exit_code(health)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):  # where Textual draws
        raise StackError("the dashboard needs a terminal; `readside dash --once` prints one frame of it")
    from stack.dash.app import Dash

    dash = Dash(settings, light=light)
    dash.run()
    return exit_code(dash.health) if dash.health else 0
