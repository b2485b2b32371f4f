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
def trace(
    table: Annotated[str, typer.Argument(help="A captured table, T or schema.T.")],
    key: Annotated[
        str | None, typer.Argument(help="The row's key; of several columns a,b in key order.", show_default=False)
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option("--key", help="Instead: one column of the key, name=value; again for each.", show_default="none"),
    ] = None,
    data_dir: DataDir = None,
    latest: Annotated[int, typer.Option("--latest", help="How many of its latest records are shown.", min=1)] = 5,
    scan: Annotated[
        int, typer.Option("--scan", help="Most records that are read backwards to find them.", min=1)
    ] = 200_000,
    wait: Annotated[
        float, typer.Option("--wait", help="Seconds for which a store may still come past the source.", min=0)
    ] = 3.0,
    output: OutputOption = None,
) -> int:
    """Follow one row through every hop: source, topic\\[partition]@offset, both stores; and say where it is stuck.

    No values but the key's are shown. Exit code 0 it arrived, 1 it is stuck or nowhere, 2 a hop does not answer.
    """
    from stack.trace.run import run as trace

    return trace(settings_of(data_dir), table, key, pairs or [], latest=latest, most=scan, wait_s=wait, output=output)


@app.command(rich_help_panel="Read")
def models(data_dir: DataDir = None, output: OutputOption = None) -> int:
    """List the registered read models: source tables, key, rows, version, freshness. Exit code 0, 1, 2 as of `status`."""
    from stack.models import run as models

    return models(settings_of(data_dir), output=output)


@app.command(rich_help_panel="Read")
def verify(
    models: Annotated[
        list[str] | None, typer.Argument(help="Read models or rollups; all models without a name.", metavar="[MODEL]…")
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


@app.command(rich_help_panel="Read")
def tail(
    tables: Annotated[
        list[str] | None,
        typer.Argument(help="Captured tables, T or schema.T; all without a name.", metavar="[TABLE]…"),
    ] = None,
    data_dir: DataDir = None,
    begin: Annotated[
        Literal["beginning", "end"],
        typer.Option("--from", help="Where to begin: at the oldest record that Kafka holds, or at the next one."),
    ] = "end",
    limit: Annotated[
        int | None, typer.Option("--limit", help="End after so many changes.", min=1, show_default="none")
    ] = None,
    values: Annotated[bool, typer.Option("--values/--no-values", help="Whether the rows' values are shown.")] = True,
) -> int:
    """Show decoded changes as they come, one JSON line each, until Ctrl-C. Each partition's are in order."""
    from stack.tail import run as tail

    return tail(settings_of(data_dir), tables or [], begin=begin, limit=limit, values=values)
