"""``readside dead-letters``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from stack.cli.options import DataDir, OutputOption, app, settings_of

letters_app = typer.Typer(
    help="Changes that are parked: what they are, and what to do with them.", no_args_is_help=True
)
app.add_typer(letters_app, name="dead-letters", rich_help_panel="Repair")
LetterIds = Annotated[
    list[str] | None, typer.Argument(help=r"topic\[partition]@offset, as `list` shows it.", metavar="[ID]…")
]
StoreOption = Annotated[
    Literal["serving", "analytics"] | None, typer.Option("--store", help="Of which store.", show_default="both")
]
Everything = Annotated[bool, typer.Option("--all", help="All of them.")]


@letters_app.command("list")
def letters_list(data_dir: DataDir = None, output: OutputOption = None) -> int:
    """What is parked, and why, without values."""
    from stack import dead_letters

    return dead_letters.show_all(settings_of(data_dir), output=output)


@letters_app.command("show")
def letters_show(
    id: Annotated[str, typer.Argument(help=r"topic\[partition]@offset, as `list` shows it.")],
    data_dir: DataDir = None,
    output: OutputOption = None,
) -> int:
    """Everything about one that holds no value."""
    from stack import dead_letters

    return dead_letters.show(settings_of(data_dir), id, output=output)


@letters_app.command("retry")
def letters_retry(
    ids: LetterIds = None, data_dir: DataDir = None, store: StoreOption = None, everything: Everything = False
) -> int:
    """Apply a letter and all that is parked for its row, in order, as far as possible. Exit code 1 when some stay."""
    from stack import dead_letters

    return dead_letters.settle(settings_of(data_dir), ids or [], "retry", store=store, everything=everything)


@letters_app.command("drop")
def letters_drop(
    ids: LetterIds = None, data_dir: DataDir = None, store: StoreOption = None, everything: Everything = False
) -> int:
    """Give letters up: their changes never happen in the store. What is parked behind them stays until it is retried."""
    from stack import dead_letters

    return dead_letters.settle(settings_of(data_dir), ids or [], "drop", store=store, everything=everything)


@letters_app.command("counts")
def letters_counts(data_dir: DataDir = None, output: OutputOption = None) -> int:
    """What became of every record that was read, by partition: applied, ignored, parked. They always add up."""
    from stack import dead_letters

    return dead_letters.show_counts(settings_of(data_dir), output=output)
