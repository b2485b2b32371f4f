"""Each fault of a running stack: red within ten seconds, its cause named, the way out works, green, and nothing lost."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack.verification import mirrored_verdicts_of, verdicts_of
from tests.breakable import Breakable, breakable
from tests.databases import eventually
from tests.faults import FAULTS, SOME, Fault, is_read, look, new_user
from tests.shell import named, typed

RED_S = 10.0
GREEN_S = 90

Outcome = dict[str, Any]

#: kafka-python leaves a socket that was cut off in the middle to the garbage collector, which warns of it at any time.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def stack() -> Iterator[Breakable]:
    """A stack of these tests' own: what they do to it cannot be undone."""
    yield from breakable(parked_on_poison=("public.sellers",))


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Iterator[list[Outcome]]:
    """What each fault came to, written where ``--faults-results`` says."""
    seen: list[Outcome] = []
    yield seen
    if path := request.config.getoption("--faults-results"):
        Path(path).write_text(json.dumps(seen, indent=2) + "\n")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = metafunc.config.getoption("--faults")
    faults = [fault for fault in FAULTS if chosen == "all" or fault.name in SOME]
    if "fault" in metafunc.fixturenames:
        metafunc.parametrize("fault", faults, ids=[fault.name.replace(" ", "-") for fault in faults])


def test_a_fault_is_seen_named_and_left_behind(stack: Breakable, fault: Fault, outcomes: list[Outcome]) -> None:
    if fault.fills and fault.fills not in stack.disks:
        pytest.skip("a small disk has to be mounted, which takes root and the right to mount")
    eventually(
        lambda: look(stack)[0] == "ok", what=lambda: f"all is well: {look(stack)}", deadline_s=GREEN_S, every_s=0.3
    )
    key = secrets.token_hex(6)
    try:
        began = time.monotonic()
        fault.inject(stack)
        injected = time.monotonic()
        red_s, cause, whys = seen(stack, fault, injected)
        user = written(stack, key)
        in_time = user is not None
        remedied = time.monotonic()
        fault.undo(stack)
        command = named(whys, fault.remedy) if fault.remedy else ""
        if command:
            typed(stack, command)
        typed(stack, f"readside status --wait-healthy --timeout {GREEN_S}")
        green_s = time.monotonic() - remedied
    finally:
        stack.made_whole()
    user = user or new_user(stack, key)
    eventually(lambda: is_read(stack, user), what="what was written meanwhile is read", deadline_s=30)
    verdicts = (*verdicts_of(stack.settings), *mirrored_verdicts_of(stack.settings))
    differences = sum(verdict.differences for verdict in verdicts)
    outcomes.append(
        {
            "fault": fault.name,
            "red_s": round(red_s, 1),
            "cause": cause.replace(str(stack.settings.data_dir), "DATA_DIR"),
            "remedy": command or fault.undone,
            "written_meanwhile": in_time,
            "green_s": round(green_s, 1),
            "rows_compared": sum(verdict.rows for verdict in verdicts),
            "differences": differences,
            "took_s": round(time.monotonic() - began, 1),
        }
    )
    assert differences == 0


def seen(stack: Breakable, fault: Fault, since: float) -> tuple[float, str, list[str]]:
    """Seconds until something was not well and its cause named, the cause, and all that was said then."""
    red_s, whys = None, list[str]()
    while time.monotonic() - since <= RED_S:
        state, whys = fault.look(stack)
        if state in ("degraded", "down"):
            red_s = red_s or time.monotonic() - since
            if cause := next((why for why in whys if re.search(fault.cause, why)), None):
                return red_s, cause, whys
        time.sleep(0.1)
    pytest.fail(f"not named within {RED_S:g} s ({'red' if red_s else 'not red'}): {whys}")


def written(stack: Breakable, key: str) -> str | None:
    """A user that is written now, if that can be."""
    with suppress(httpx.HTTPError):
        return new_user(stack, key)
    return None
