"""What a test run that was killed leaves behind is removed, and nothing else."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests import directories

HOLDER = """
import sys, time
from tests.directories import temporary
with temporary("tests-of-this") as path:
    (path / "deep").mkdir()
    print(path, flush=True)
    time.sleep(600)
"""


def holding() -> tuple[subprocess.Popen[str], Path]:
    """A process that has a temporary directory, and the directory."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert holder.stdout is not None
    with holder.stdout:
        return holder, Path(holder.stdout.readline().strip())


def test_a_killed_ones_directory_is_removed_and_a_living_ones_is_not() -> None:
    (killed, abandoned), (living, used) = holding(), holding()
    try:
        killed.kill()
        killed.wait()
        assert abandoned.exists()
        directories.remove_abandoned()
        assert not abandoned.exists()
        assert (used / "deep").exists()
    finally:
        living.send_signal(signal.SIGINT)
        living.wait(20)
    assert not used.exists()


def test_a_directory_is_gone_with_its_block() -> None:
    with directories.temporary("tests-of-this") as path:
        assert path.exists()
        directories.remove_abandoned()
        assert path.exists()
    assert not path.exists()
