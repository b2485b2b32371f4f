"""``readside rebuild``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from stack.cli.options import DataDir, OutputOption, app, settings_of


@app.command(rich_help_panel="Repair")
def rebuild(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Read models; without a name, the rebuild that is under way.", metavar="[MODEL]…"),
    ] = None,
    origin: Annotated[
        Literal["mirror", "kafka", "snapshot"],
        typer.Option("--from", help="What is believed: the mirror, Kafka's log, or a fresh snapshot of the source."),
    ] = "mirror",
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Let the former versions serve again.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="End the rebuild that is under way.")] = False,
    data_dir: DataDir = None,
    output: OutputOption = None,
) -> int:
    """Build read models anew beside those that serve: plan, progress, what differs, swap in one transaction.

    Exit code 0 when the new versions serve, 1 when you let all be as it was, 2 when it cannot be done.
    """
    from stack import rebuild as work

    if cancel and rollback:
        raise typer.BadParameter("--cancel ends a rebuild, --rollback takes one back: give one of them")
    settings = settings_of(data_dir)
    if cancel:
        return work.cancel(settings)
    if rollback:
        return work.roll_back(settings, models or [], yes=yes, output=output)
    return work.run(settings, models or [], origin=origin, yes=yes, output=output)
