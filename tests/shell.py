"""Commands as an operator finds and types them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence

from tests.backends import ROOT, Native


def named(whys: Sequence[str], start: str) -> str:
    """The command that the reasons name, in backticks, and that begins so; it fails the test when none does."""
    commands = [command for why in whys for command in re.findall(r"`([^`]+)`", why)]
    found = next((command for command in commands if command.startswith(start)), None)
    assert found is not None, f"no command {start!r} among {commands}; the reasons: {whys}"
    return found


def typed(stack: Native, command: str) -> str:
    """Run a command as an operator does, in a shell; what it prints. Fails the test when it fails."""
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "READSIDE_DATA_DIR": str(stack.settings.data_dir)}
    done = subprocess.run(
        command, shell=True, executable="/bin/bash", env=env, cwd=ROOT, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, f"{command}: exit code {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout
