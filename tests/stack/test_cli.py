"""The command: exit codes, where its words go, and that it starts from anywhere."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from stack.logfiles import keep_bounded

ROOT = Path(__file__).parents[2]


def readside(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "readside", *arguments], cwd=cwd, capture_output=True, text=True)


@pytest.fixture(autouse=True)
def environment_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script asks uv for the packages of a user's commands; the tests' own would go while others still run on them."""
    monkeypatch.setenv("UV_NO_SYNC", "1")


@pytest.mark.parametrize(
    "arguments",
    [[], ["bogus"], ["up", "--bogus"], ["up", "--ports", "some"], ["status", "x"], ["sql", "--to", "a.csv"]],
)
def test_wrong_usage_is_64_and_said_on_standard_error(arguments: list[str]) -> None:
    ran = readside(*arguments)
    assert ran.returncode == 64
    assert "readside --help" in ran.stderr or not arguments


def test_help_lists_the_commands() -> None:
    ran = readside("--help")
    assert ran.returncode == 0
    assert all(name in ran.stdout for name in ("up", "down", "status", "config", "test"))


def test_status_of_nothing_is_2_and_json_on_standard_output(tmp_path: Path) -> None:
    ran = readside("status", "--output", "json", "--data-dir", str(tmp_path))
    assert ran.returncode == 2
    assert {"addresses", "components", "hops", "models", "dead_letters", "state"} <= json.loads(ran.stdout).keys()


def test_script_works_through_a_link_and_keeps_the_users_directory(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(ROOT / "readside")
    ran = subprocess.run([link, "down", "--data-dir", "here"], cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr.strip()) == (0, "no stack runs in here")


def test_config_masks_secrets_and_names_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("READSIDE_SOURCE_DSN", "postgresql://me:very-secret@127.0.0.1/mine")
    ran = readside("config", "--output", "json", cwd=tmp_path)
    assert "very-secret" not in ran.stdout + ran.stderr
    shown = {row["name"]: row for row in json.loads(ran.stdout)}
    assert shown["source_dsn"] == {"name": "source_dsn", "value": "********", "from": "environment"}
    assert shown["slot"]["from"] == "default"


def test_wrong_setting_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("READSIDE_TOPIC_PARTITIONS", "none")
    ran = readside("config", "--check", cwd=tmp_path)
    assert ran.returncode == 2
    assert "topic_partitions" in ran.stderr


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("READSIDE_AUTH", "jwt", "READSIDE_JWT_KEY"),
        ("READSIDE_QUERIES_ADDRESS", "foo", "write host:port"),
        ("READSIDE_WRITER_ADDRESS", "0.0.0.0:8001", "which others can reach"),
    ],
)
def test_settings_that_a_server_refuses_are_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    for command in (["config", "--check"], ["up", "--detach"]):
        ran = readside(*command, "--data-dir", "here", cwd=tmp_path)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert said in " ".join(ran.stderr.split())
    assert not (tmp_path / "here").exists()


def test_status_of_a_stack_that_was_stopped_says_how_it_is_started(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text('{"components": [{"name": "kafka", "state": "stopped"}]}')
    ran = readside("status", "--output", "table", "--data-dir", str(tmp_path))
    assert ran.returncode == 2
    assert "no stack runs in this data directory" in " ".join(ran.stdout.split())
    assert "$ readside up --detach" in ran.stdout
    assert "starts it again" not in ran.stdout


def test_missing_python_is_said_with_the_way_out(tmp_path: Path) -> None:
    for tool in ("sh", "dirname", "readlink", "pwd"):
        (tmp_path / tool).symlink_to(f"/bin/{tool}")
    ran = subprocess.run(
        ["/bin/sh", ROOT / "readside", "up"], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert ran.returncode == 2
    assert "Python 3.11 or newer is needed" in ran.stderr


def test_log_that_grew_too_large_is_moved_aside_while_its_writer_goes_on(tmp_path: Path) -> None:
    with (tmp_path / "kafka.log").open("ab", buffering=0) as writer:
        writer.write(b"x" * 101)
        keep_bounded(tmp_path, most_bytes=100)
        writer.write(b"after")
    assert (tmp_path / "kafka.log").read_bytes() == b"after"
    assert (tmp_path / "kafka.log.1").stat().st_size == 101


def test_compiled_modules_are_kept_where_python_is_told_not_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    assert readside("config", cwd=tmp_path).returncode == 0
    assert any((tmp_path / "readside" / "bytecode").rglob("cli.*.pyc"))
