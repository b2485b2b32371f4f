"""Commands that start, stop, examine and prepare."""

from __future__ import annotations

from typing import Annotated

import typer

from stack.cli.options import DataDir, Only, OutputOption, Ports, app, checked_ports, settings_of


@app.command(rich_help_panel="Run")
def up(data_dir: DataDir = None, detach: bool = False, only: Only = "", ports: Ports = "fixed") -> int:
    """Start everything; print the addresses when it is healthy. Without --detach, run until Ctrl-C."""
    from stack.commands import up

    return up(settings_of(data_dir), only=only, ports=checked_ports(ports), detach=detach)


@app.command(rich_help_panel="Run")
def down(data_dir: DataDir = None) -> int:
    """Stop everything that `up` started; its data stays."""
    from stack.commands import down

    return down(settings_of(data_dir))


@app.command(rich_help_panel="Run")
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


@app.command(rich_help_panel="Run")
def dash(
    data_dir: DataDir = None,
    once: Annotated[bool, typer.Option("--once", help="Print one frame as plain text and end.")] = False,
    light: Annotated[bool, typer.Option("--light", help="Begin with the light theme; `t` changes it.")] = False,
) -> int:
    """Show the pipeline live: components, hops, read models, what is wrong and what to do. Exit code as of `status`."""
    from stack.dash.run import run as dash

    return dash(settings_of(data_dir), once=once, light=light)


@app.command(rich_help_panel="Run")
def doctor(data_dir: DataDir = None, output: OutputOption = None) -> int:
    """Examine source, Kafka, Connect and stores; print each finding with its fix. Exit code 0 ok, 1 degraded, 2 down."""
    from stack.doctor import run as doctor

    return doctor(settings_of(data_dir), output=output)


@app.command(rich_help_panel="Run")
def config(
    data_dir: DataDir = None,
    output: OutputOption = None,
    check: Annotated[bool, typer.Option("--check", help="Only say whether the settings are valid.")] = False,
) -> int:
    """Show the effective settings and where each came from; secrets are masked."""
    from stack.configuration import show

    return show(settings_of(data_dir), output=output, check=check)


@app.command(rich_help_panel="Run")
def setup(data_dir: DataDir = None) -> int:
    """Make an existing PostgreSQL ready: databases, roles, the write schema, the publication."""
    from stack.commands import setup

    return setup(settings_of(data_dir))


@app.command(
    rich_help_panel="Run",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
)
def test(context: typer.Context) -> int:
    """Run the whole test suite on the real components; arguments go to pytest."""
    from stack.commands import test

    return test(context.args)


@app.command(rich_help_panel="Run")
def demo(
    data_dir: DataDir = None,
    seconds: Annotated[float, typer.Option(help="How long the traffic lasts.", min=1)] = 20.0,
    ports: Ports = "auto",
) -> int:
    """The main job, from a bare checkout: everything set up, real traffic, every kind of read model, ad hoc SQL, proof."""
    from stack.demo import run as demo

    return demo(settings_of(data_dir), seconds=seconds, ports=checked_ports(ports))
