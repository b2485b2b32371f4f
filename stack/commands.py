"""The commands that start, stop and prepare: ``up``, ``down``, ``setup``, ``test``."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn

from config.settings import Settings
from stack import process, state
from stack.errors import MissingComponent, StackError
from stack.state import StackState
from stack.terminal import talk
from stack.up import start, stop, wait_healthy

_ROOT = Path(__file__).parents[1]


def up(settings: Settings, *, only: str, ports: str, detach: bool) -> int:
    """Start the stack and say where it is; then leave it alone, or stay until it ends or Ctrl-C."""
    supervisor = start(settings, only=only, ports=ports, detach=detach)
    try:
        with Startup() as startup:
            wait_healthy(settings.data_dir, show=startup.show, supervisor=supervisor)
        _say_addresses(type(settings)(data_dir=settings.data_dir))
        if detach:
            return 0
        talk.print("Ctrl-C stops it.")
        supervisor.wait()
    except KeyboardInterrupt:
        talk.print("stopping …")
        process.stop(supervisor, timeout_s=120)
        return 0
    except BaseException:
        process.stop(supervisor, timeout_s=120)
        raise
    ended = state.read(settings.data_dir)
    if ended is not None and ended.error and supervisor.returncode != 0:
        raise StackError(ended.error)
    return 2 if supervisor.returncode else 0


def _say_addresses(settings: Settings) -> None:
    running = {component.name for component in _components(settings)}
    told = {
        "queries": f"queries    http://{settings.queries_address}",
        "writer": f"writer     http://{settings.writer_address}/docs",
        "kafka": f"kafka      {settings.kafka}",
        "connect": f"connect    {settings.connect_url}",
        "postgres": f"postgres   {settings.postgres_address} (`readside status --output json` has the passwords)",
    }
    talk.print("healthy", style="bold green")
    for name, line in told.items():
        if name in running:
            talk.print(f"  {line}")


def _components(settings: Settings) -> tuple[state.ComponentState, ...]:
    told = state.read(settings.data_dir)
    return told.components if told else ()


def down(settings: Settings) -> int:
    """Stop the stack of the data directory; there being none is not an error."""
    if state.running(settings.data_dir) is None:
        talk.print(f"no stack runs in {settings.data_dir}")
        return 0
    stop(settings.data_dir)
    talk.print("stopped")
    return 0


def setup(settings: Settings) -> int:
    """Provision the PostgreSQL that READSIDE_ADMIN_DSN names."""
    from stack.components import provision

    provision(settings)
    talk.print("the databases, the roles, the write schema and the publication are there")
    return 0


def test(arguments: Sequence[str]) -> int:
    """Run pytest in the repository; its exit code is ours."""
    if importlib.util.find_spec("pytest") is None:
        raise MissingComponent("pytest is not installed; run the tests by `./readside test` from a checkout")
    os.chdir(_ROOT)
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode


class Startup:
    """Shows a stack's start on a terminal: the download, then who is still awaited."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.fields[note]}"))
        self._progress = Progress(*columns, console=talk, transient=True)
        self._jars = self._progress.add_task("jars", total=None, note="", visible=False)
        self._parts = self._progress.add_task("components", total=None, note="")

    def __enter__(self) -> Startup:
        self._progress.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._progress.stop()

    def show(self, told: StackState) -> None:
        """Show this state."""
        done, of = told.jars
        self._progress.update(self._jars, completed=done, total=of, note=f"{done} of {of}", visible=0 < done < of)
        healthy = [component for component in told.components if component.state == "healthy"]
        awaited = ", ".join(f"{each.name} {each.state}" for each in told.components if each.state != "healthy")
        self._progress.update(self._parts, completed=len(healthy), total=len(told.components) or None, note=awaited)
