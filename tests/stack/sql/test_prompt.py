"""The command as a person and as a script use it: a real process, on a terminal or on pipes, against a real store."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.environment import bare_environment
from config.settings import Settings
from stack.ports import free
from tests.databases import eventually

ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-m", "stack", "sql")
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()=>][AB0]?|\x1b\].*?\x07")


def environment(settings: Settings, state: Path) -> dict[str, str]:
    return bare_environment() | {
        "READSIDE_QUERIES_ADDRESS": settings.queries_address,
        "READSIDE_TOKEN": "very-secret",
        "XDG_STATE_HOME": str(state),
        "PROMPT_TOOLKIT_NO_CPR": "1",  # nobody here answers where the cursor is
        "TERM": "xterm",
        "COLUMNS": "100",
        "LINES": "40",
    }


class Terminal:
    """The other side of a terminal that `readside sql` runs on: what is typed, and what is seen."""

    def __init__(self, settings: Settings, state: Path) -> None:
        self._typed, theirs = os.openpty()
        self.process = subprocess.Popen(
            COMMAND,
            cwd=ROOT,
            env=environment(settings, state),
            preexec_fn=lambda: os.login_tty(theirs),
            close_fds=False,
        )
        os.close(theirs)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._typed, text.encode())

    def see(self, *expected: str, within_s: float = 20.0) -> str:
        """Wait until all of this is seen, in this order; what was seen up to then, and is not looked at again."""
        pattern = re.compile(".*?".join(map(re.escape, expected)), re.DOTALL)
        deadline = time.monotonic() + within_s
        while not (found := pattern.search(self.seen)):
            ready, _, _ = select.select([self._typed], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{expected} was not seen in:\n{self.seen}"
            self.seen += _STYLE.sub("", os.read(self._typed, 65536).decode())
        seen, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return seen

    def is_cooked(self) -> bool:
        """Whether Ctrl-C is a signal, as it is while a statement runs, and no key of the prompt."""
        return bool(termios.tcgetattr(self._typed)[3] & termios.ISIG)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._typed)


@pytest.fixture
def terminal(server: Settings, tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(server, tmp_path / "state")
    yield opened
    opened.close()


def test_a_conversation(terminal: Terminal, tmp_path: Path) -> None:
    terminal.see("4 tables, as of 20", "lag", "readside>")
    terminal.type("\\d\r")
    terminal.see("Order Lines", "daily", "Revenue per day.", "orders", "One row per order.", "readside>")
    terminal.type("\\d orders\r")
    terminal.see("total", "DECIMAL(12,2)", "With tax and shipping.", "readside>")

    terminal.type("select id, custo\t")
    terminal.see("mer_name")
    terminal.type(",\rtotal, note from orders order by id;\r")
    seen = terminal.see("──", "3 rows, as of", "lag", "readside>")
    assert " 1  Ada Lovelace    " in seen
    assert " 2  Grace Hopper    1099.00  NULL" in seen
    assert r"12  Mallory\x1b[2J     0.05  two\nlines" in seen

    terminal.type("select nope from orders;\r")
    terminal.see("Referenced column", "LINE 1: select nope from orders\r\n               ^^^^\r\n", "readside>")
    terminal.type("select 'abandoned\x03")
    terminal.see("readside>")
    terminal.type("\\timing\rselect 40 + 2 as answer\r\r")
    terminal.see("timing is on", "    42\r\n", "1 row, as of", " ms\r\n", "readside>")
    terminal.type(f"\\o {tmp_path}/a.csv\rfrom orders;\r")
    terminal.see("3 rows in", "a.csv", "readside>")
    assert (tmp_path / "a.csv").read_text().count("paid") == 2
    terminal.type("\\o ~nobody-of-that-name/a.csv\r")
    terminal.see("nobody-of-that-name", "home directory", "readside>")
    terminal.type("select 'very-secret';\r\\x\r")
    terminal.see("1 row", r"there is no command \x", "readside>")

    terminal.type("\x04")
    assert terminal.process.wait(10) == 0
    history = (tmp_path / "state" / "readside" / "sql-history").read_text()
    assert "+select id, customer_name,\n+total, note from orders order by id;\n" in history
    assert "secret" not in history


def test_ctrl_c_abandons_a_statement_that_runs(terminal: Terminal) -> None:
    terminal.see("readside>")
    terminal.type("select count(*) from range(1_000_000_000) a, range(1000) b;\r")
    terminal.see("1000")
    eventually(terminal.is_cooked)
    terminal.type("\x03")
    terminal.see("abandoned", "readside>")
    terminal.type("select 40 + 2 as answer;\r")
    terminal.see("    42\r\n", "readside>")


def test_up_brings_back_what_another_prompt_asked(server: Settings, tmp_path: Path) -> None:
    for typed in ("select 6 * 7 as answer;\r", "\x1b[A\r"):
        opened = Terminal(server, tmp_path / "state")
        opened.see("readside>")
        opened.type(typed)
        opened.see("    42\r\n")
        opened.close()


def piped(settings: Settings, tmp_path: Path, script: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment(settings, tmp_path),
        capture_output=True,
        text=True,
        **({"input": script} if script is not None else {"stdin": subprocess.DEVNULL}),
    )


def test_a_script_runs_statement_by_statement_up_to_the_first_that_fails(server: Settings, tmp_path: Path) -> None:
    script = "-- all;\nselect 1 as a;\n\\format markdown\nselect ';' as b;\nselect nope;\nselect 'never';"
    ran = piped(server, tmp_path, script, "--output", "csv")
    assert (ran.returncode, ran.stdout) == (1, "a\n1\n| b |\n| --- |\n| ; |\n")
    assert "nope" in ran.stderr
    assert piped(server, tmp_path, "select 2 as last").returncode == 0
    assert not (tmp_path / "readside").exists()  # no history of a script


def test_one_statement_prints_json_for_programs(server: Settings, tmp_path: Path) -> None:
    ran = piped(server, tmp_path, None, "select 'é' as a;")
    answer = json.loads(ran.stdout)
    assert (ran.returncode, answer["columns"], answer["rows"], answer["truncated"]) == (0, ["a"], [["é"]], False)
    assert ran.stderr.startswith("1 row, as of 20")


def test_rows_that_are_missing_are_said_or_the_exit_code_says_it(server: Settings, tmp_path: Path) -> None:
    for arguments, code in ((("--output", "csv"), 1), (("--output", "csv", "--allow-truncated"), 0), ((), 0)):
        ran = piped(server, tmp_path, None, "from range(2000)", *arguments)
        assert (ran.returncode, "cut off by the limit READSIDE_SQL_ROWS" in ran.stderr) == (code, True)


def test_to_a_file(server: Settings, tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    assert piped(server, tmp_path, None, "from orders", "--to", str(path)).returncode == 0
    assert len(path.read_text().splitlines()) == 3
    again = piped(server, tmp_path, None, "from orders", "--to", str(path))
    assert (again.returncode, "--force" in again.stderr) == (2, True)
    assert piped(server, tmp_path, None, "from orders limit 1", "--to", str(path), "--force").returncode == 0
    assert len(path.read_text().splitlines()) == 1


def test_a_server_that_is_not_there_is_said_with_the_way_out(tmp_path: Path) -> None:
    nobody = Settings(data_dir=tmp_path, queries_address=f"127.0.0.1:{free()[0]}")
    ran = piped(nobody, tmp_path, None, "select 1")
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"readside: nothing listens at {nobody.queries_address}")
    assert "readside up" in ran.stderr
