"""The command line of readside: parses, and calls one module per command. Each is imported only when it runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.exceptions import TyperException

from stack.errors import StackError

if TYPE_CHECKING:
    from config.settings import Settings

EXIT_FAILED, EXIT_USAGE = 2, 64
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


def run(arguments: Sequence[str]) -> int:
    """Run one command and answer with the exit code; every error becomes one message on standard error."""
    from stack.terminal import talk

    try:
        code: Any = app(list(arguments), prog_name="readside", standalone_mode=False)
    except TyperException as exc:
        if said := exc.format_message():  # nothing when help was shown instead
            talk.print(f"readside: {said.rstrip('.')}; see `readside --help`", markup=False)
        return EXIT_USAGE
    except StackError as exc:
        talk.print(f"readside: {exc}", markup=False)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT
    return code if isinstance(code, int) else 0


def settings_of(data_dir: Path | None) -> Settings:
    """The effective settings, with what the command line says over everything else."""
    from pydantic import ValidationError

    from config.settings import Settings

    try:
        return Settings(data_dir=data_dir) if data_dir else Settings()
    except ValidationError as exc:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in exc.errors())
        raise StackError(f"a setting is wrong: {wrong}; see docs/settings.md") from None


def _ports(ports: str) -> str:
    if ports not in ("auto", "fixed"):
        raise typer.BadParameter("is auto or fixed", param_hint="--ports")
    return ports


@app.command()
def up(data_dir: DataDir = None, detach: bool = False, only: Only = "", ports: Ports = "fixed") -> int:
    """Start everything; print the addresses when it is healthy. Without --detach, run until Ctrl-C."""
    from stack.commands import up

    return up(settings_of(data_dir), only=only, ports=_ports(ports), detach=detach)


@app.command()
def down(data_dir: DataDir = None) -> int:
    """Stop everything that `up` started; its data stays."""
    from stack.commands import down

    return down(settings_of(data_dir))


@app.command()
def status(
    data_dir: DataDir = None,
    output: OutputOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again, until Ctrl-C.")] = False,
    wait_healthy: Annotated[bool, typer.Option("--wait-healthy", help="Wait until everything is ok.")] = False,
    timeout: Annotated[float, typer.Option(help="Longest wait, in seconds.", min=0)] = 60.0,
) -> int:
    """Show each component and each hop: state, rate, lag. Exit code 0 ok, 1 degraded, 2 down."""
    from stack.status import status

    return status(settings_of(data_dir), output=output, watch=watch, wait_s=timeout if wait_healthy else None)


@app.command()
def doctor(data_dir: DataDir = None, output: OutputOption = None) -> int:
    """Examine source, Kafka, Connect and stores; print each finding with its fix. Exit code 0 ok, 1 degraded, 2 down."""
    from stack.doctor import run as doctor

    return doctor(settings_of(data_dir), output=output)


@app.command()
def config(
    data_dir: DataDir = None,
    output: OutputOption = None,
    check: Annotated[bool, typer.Option("--check", help="Only say whether the settings are valid.")] = False,
) -> int:
    """Show the effective settings and where each came from; secrets are masked."""
    from stack.configuration import show

    return show(settings_of(data_dir), output=output, check=check)


@app.command()
def setup(data_dir: DataDir = None) -> int:
    """Make an existing PostgreSQL ready: databases, roles, the write schema, the publication."""
    from stack.commands import setup

    return setup(settings_of(data_dir))


@app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []})
def test(context: typer.Context) -> int:
    """Run the whole test suite on the real components; arguments go to pytest."""
    from stack.commands import test

    return test(context.args)


@app.command()
def demo(
    data_dir: DataDir = None,
    seconds: Annotated[float, typer.Option(help="How long the traffic lasts.", min=1)] = 20.0,
    ports: Ports = "auto",
) -> int:
    """The main job, from a bare checkout: everything set up, real traffic, every kind of read model, ad hoc SQL, proof."""
    from stack.demo import run as demo

    return demo(settings_of(data_dir), seconds=seconds, ports=_ports(ports))


@app.command()
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


@app.command()
def verify(
    models: Annotated[
        list[str] | None, typer.Argument(help="Read models; all without a name.", metavar="[MODEL]…")
    ] = None,
    data_dir: DataDir = None,
    output: OutputOption = None,
) -> int:
    """Recompute read models from the source and compare row by row. Exit code 0 equal, 1 different."""
    from stack.verification import run as verify

    return verify(settings_of(data_dir), models or [], output=output)


letters_app = typer.Typer(
    help="Changes that are parked: what they are, and what to do with them.", no_args_is_help=True
)
app.add_typer(letters_app, name="dead-letters")
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


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="Which benchmark.")] = "freshness",
    data_dir: DataDir = None,
    output: OutputOption = None,
) -> int:
    """Run a benchmark on a stack of its own, or the one that runs here; print its figures and keep them as JSON."""
    from stack.benchmark import run as bench

    return bench(settings_of(data_dir), name, output=output)


@app.command()
def chaos(
    data_dir: DataDir = None,
    cycles: Annotated[int, typer.Option(help="How many faults.", min=1)] = 40,
    seed: Annotated[int | None, typer.Option(help="Chooses the faults and the load.", show_default="random")] = None,
    analytics: Annotated[
        bool, typer.Option("--analytics", help="Only SIGKILLs, only of the analytics projector, on a stack of its own.")
    ] = False,
    output: OutputOption = None,
) -> int:
    """Load, random faults on every process, then the oracle. Without --data-dir on a stack of its own."""
    if analytics:
        from stack.kills import run as kill_analytics

        return kill_analytics(settings_of(data_dir), kills=cycles, seed=seed, output=output)
    from stack.chaos import run as chaos

    return chaos(settings_of(data_dir), cycles=cycles, seed=seed, own=data_dir is None, output=output)
