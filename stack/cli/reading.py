"""Commands that read: what the stores hold, and whether it is right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from stack.cli.options import DataDir, OutputOption, app, settings_of


@app.command(rich_help_panel="Read")
def sql(
    statement: Annotated[
        str | None, typer.Argument(help="One SELECT, in DuckDB's SQL.", show_default="a prompt, or standard input")
    ] = None,
    data_dir: DataDir = None,
    output: Annotated[
        Literal["table", "json", "csv", "markdown"] | None,
        typer.Option("--output", help="How rows are printed.", show_default="table on a terminal, else json"),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Write the rows to this file: .parquet .csv .json .ndjson.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --to.")] = False,
    allow_truncated: Annotated[
        bool, typer.Option("--allow-truncated", help="Take what the row limit leaves as a success.")
    ] = False,
) -> int:
    """Ask the analytics store: ad hoc SQL on data that is seconds old at most, while writes go on.

    Without a statement a prompt; where standard input is no terminal, its statements, each ended by `;`.
    """
    from stack.sql.run import run as ask

    if statement is None and to is not None:
        raise typer.BadParameter(r"takes the rows of one statement; give it, or use `\o FILE`", param_hint="--to")
    return ask(settings_of(data_dir), statement, output=output, to=to, force=force, allow_truncated=allow_truncated)


@app.command(rich_help_panel="Read")
def verify(
    models: Annotated[
        list[str] | None, typer.Argument(help="Read models; all without a name.", metavar="[MODEL]…")
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Make what differs equal, and verify again.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Repair without asking.")] = False,
    values: Annotated[bool, typer.Option("--values", help="Show what the first differing rows hold.")] = False,
    data_dir: DataDir = None,
    output: OutputOption = None,
) -> int:
    """Recompute read models from the source and compare. Exit code 0 equal, or repaired and equal; 1 different."""
    from stack.verification import run as verify

    return verify(settings_of(data_dir), models or [], output=output, values=values, repair=repair, assumed=yes)
