"""What the commands share: the application they are part of, the options that many take, and the settings they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stack.errors import StackError

if TYPE_CHECKING:
    from config.settings import Settings

Output = Literal["table", "json"]

app = typer.Typer(
    name="readside",
    help="Read models that are exactly right, derived from a PostgreSQL database's change stream.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Directory of all state of the native stack.", show_default=".readside"),
]
OutputOption = Annotated[
    Output | None, typer.Option("--output", help="How data is printed.", show_default="table on a terminal, else json")
]
Only = Annotated[str, typer.Option(help="Components to run, comma separated.", show_default="all")]
Ports = Annotated[str, typer.Option(help="`auto` picks free ports; `fixed` takes those of the settings.")]


def settings_of(data_dir: Path | None) -> Settings:
    """The effective settings, with what the command line says over everything else."""
    from pydantic import ValidationError

    from config.settings import Settings

    try:
        return Settings(data_dir=data_dir) if data_dir else Settings()
    except ValidationError as exc:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in exc.errors())
        raise StackError(f"a setting is wrong: {wrong}; see docs/settings.md") from None


def checked_ports(ports: str) -> str:
    if ports not in ("auto", "fixed"):
        raise typer.BadParameter("is auto or fixed", param_hint="--ports")
    return ports
