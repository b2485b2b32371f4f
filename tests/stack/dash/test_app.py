"""The dashboard as a person meets it: its keys, its sizes, and that nothing which is down takes it down."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from config.settings import Settings
from queries.pipeline import Health
from stack.dash.app import Dash
from stack.dash.screens import Closer, Help
from stack.dash.table import PartTable
from tests.backends import ROOT, Stack
from tests.databases import eventually

Act = Callable[[Dash, Pilot[int]], Awaitable[None]]


def driven(settings: Settings, act: Act, size: tuple[int, int] = (80, 24)) -> Dash:
    """Run the application without a terminal, and let ``act`` use it."""

    async def drive() -> Dash:
        dash = Dash(settings)
        async with dash.run_test(size=size) as pilot:
            await act(dash, pilot)
        return dash

    return asyncio.run(drive())


async def seen(dash: Dash, pilot: Pilot[int]) -> None:
    """Wait for the first look."""
    for _ in range(200):
        if dash.health is not None:
            await pilot.pause()
            return
        await pilot.pause(0.05)
    pytest.fail("no look within 10 s")


async def says(dash: Dash, pilot: Pilot[int], of: str, text: str) -> None:
    """Wait until it does: what a key leads to is drawn when the machine has time for it."""
    for _ in range(200):
        if text in drawn(dash, of):
            return
        await pilot.pause(0.05)
    pytest.fail(f"{of} does not say {text!r} within 10 s: {drawn(dash, of)}")


def drawn(dash: Dash, of: str) -> str:
    return str(dash.query_one(of, Static).content)


@pytest.fixture
def nowhere(tmp_path: Path) -> Settings:
    """Settings at whose addresses nobody listens."""
    address = "127.0.0.1:1"
    return Settings(
        data_dir=tmp_path, writer_address=address, queries_address=address, analytics_address=address,
        kafka=address, connect_url=f"http://{address}",
    )  # fmt: skip


@pytest.mark.parametrize("size", [(80, 24), (160, 45), (40, 12)], ids=["small", "large", "tiny"])
def test_everything_down_is_shown_as_down(nowhere: Settings, size: tuple[int, int]) -> None:
    async def act(dash: Dash, pilot: Pilot[int]) -> None:
        await seen(dash, pilot)
        await says(dash, pilot, "#header", "✖ down")
        await says(dash, pilot, "#reasons", "readside up")
        assert dash.query_one("#components", PartTable).row_count == 7
        assert dash.query_one("#models", PartTable).row_count > 10  # the declared ones

    assert driven(nowhere, act, size).health is not None


@pytest.mark.parametrize("size", [(80, 24), (160, 45)], ids=["small", "large"])
def test_it_fits_the_terminal(nowhere: Settings, well: Health, size: tuple[int, int]) -> None:
    async def act(dash: Dash, pilot: Pilot[int]) -> None:
        await seen(dash, pilot)
        for health in (dash.health, well):
            assert health is not None
            dash.show(health)
            await pilot.pause()
            assert dash.screen.max_scroll_y == 0
            assert all(table.max_scroll_x == 0 for table in dash.query(PartTable))
            assert dash.query_one("#command").region.bottom == size[1] - 1  # the keys beneath it
        assert dash.query_one("#picture").display is (size[0] > 100)

    driven(nowhere, act, size)


def test_enter_looks_closer_and_escape_comes_back(nowhere: Settings) -> None:
    async def act(dash: Dash, pilot: Pilot[int]) -> None:
        await seen(dash, pilot)
        for table in ("#components", "#hops", "#models"):
            dash.query_one(table).focus()
            await pilot.press("down", "enter")
            for _ in range(100):
                if isinstance(dash.screen, Closer):
                    break
                await pilot.pause(0.05)
            assert isinstance(dash.screen, Closer)
            await pilot.press("escape")
            assert not isinstance(dash.screen, Closer)

    driven(nowhere, act)


def test_the_filter_narrows_and_escape_widens(nowhere: Settings) -> None:
    async def act(dash: Dash, pilot: Pilot[int]) -> None:
        await seen(dash, pilot)
        models = dash.query_one("#models", PartTable)
        everything = models.row_count
        await pilot.press("slash", *"order_d", "enter")
        assert models.row_count == 1
        assert dash.focused is models
        await says(dash, pilot, "#command", "readside verify order_details")
        await pilot.press("escape")
        assert models.row_count == everything

    driven(nowhere, act)


def test_keys_pause_change_the_pace_the_theme_and_show_help(nowhere: Settings) -> None:
    async def act(dash: Dash, pilot: Pilot[int]) -> None:
        await seen(dash, pilot)
        await pilot.press("space")
        await says(dash, pilot, "#header", "paused")
        await pilot.press("space", "minus")
        await says(dash, pilot, "#header", "every 2.0 s")
        await pilot.press("plus", "plus", "plus")
        await says(dash, pilot, "#header", "every 0.5 s")
        await pilot.press("t")
        assert not dash.current_theme.dark
        await pilot.press("question_mark")
        assert isinstance(dash.screen, Help)
        await pilot.press("escape", "q")

    driven(nowhere, act)


def test_the_cursor_stays_on_its_row_and_its_command_is_shown(nowhere: Settings, well: Health) -> None:
    async def act(dash: Dash, pilot: Pilot[int]) -> None:
        await seen(dash, pilot)
        await pilot.press("space")
        dash.show(well)
        dash.query_one("#models").focus()
        await pilot.press("down", "down")
        models = dash.query_one("#models", PartTable)
        chosen = models.chosen
        dash.show(well)
        await pilot.pause()
        assert chosen is not None
        assert models.chosen is not None
        assert models.chosen.id == chosen.id
        assert f"readside verify {chosen.name.partition('/')[2]}" in drawn(dash, "#command")

    driven(nowhere, act)


def test_the_real_pipeline_is_shown_and_a_paused_broker_as_down(stack: Stack) -> None:
    stack.wait_healthy()

    async def act(dash: Dash, pilot: Pilot[int]) -> None:
        await seen(dash, pilot)
        for _ in range(200):
            if "● ok" in drawn(dash, "#header"):
                break
            await pilot.pause(0.1)
        await says(dash, pilot, "#header", "● ok")
        stack.pause("kafka")
        try:
            for _ in range(200):
                if "✖ down" in drawn(dash, "#header") and "kafka" in drawn(dash, "#reasons"):
                    break
                await pilot.pause(0.1)
            await says(dash, pilot, "#reasons", "kafka")
        finally:
            stack.resume("kafka")

    driven(stack.settings, act, (160, 45))
    stack.wait_healthy(90)


def test_one_frame_is_plain_text_and_its_exit_code_the_states(tmp_path: Path) -> None:
    ran = readside("dash", "--once", "--data-dir", str(tmp_path))
    assert ran.returncode == 2
    assert ran.stdout.startswith("down, 0 dead letters\n")
    assert "$ readside up" in ran.stdout
    assert "\x1b" not in ran.stdout


def test_one_frame_of_a_healthy_stack(stack: Stack) -> None:
    stack.wait_healthy()

    def healthy() -> bool:
        ran = readside("dash", "--once", "--data-dir", str(stack.settings.data_dir))
        return ran.returncode == 0 and "of WAL" in ran.stdout

    eventually(healthy, what="a frame that is ok", deadline_s=60)


def test_without_a_terminal_it_says_what_to_do(tmp_path: Path) -> None:
    ran = readside("dash", "--data-dir", str(tmp_path))
    assert ran.returncode == 2
    assert "readside dash --once" in ran.stderr


def test_textual_is_loaded_by_nothing_else(tmp_path: Path) -> None:
    look = "import sys; from stack.cli import run; code = run(sys.argv[1:]); sys.exit('textual' in sys.modules)"
    for arguments in (["--help"], ["dash", "--once"], ["status"], ["dash", "--help"]):
        ran = subprocess.run(
            [sys.executable, "-c", look, *arguments], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True
        )
        assert ran.returncode == 0, arguments


def readside(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "stack", *arguments], cwd=ROOT, capture_output=True, text=True)
