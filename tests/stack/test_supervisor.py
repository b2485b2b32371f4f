"""The supervisor with real processes: what dies comes back, what ends leaves nothing, nobody gets in twice."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from config.settings import Settings
from stack import state, up
from stack.errors import AlreadyRunning, ComponentFailed, NotRunning
from stack.process import stop
from tests.backends import Native
from tests.databases import eventually

Start = Callable[..., tuple[Native, subprocess.Popen[bytes]]]


@pytest.fixture
def started() -> Iterator[Start]:
    """Starts a stack of PostgreSQL alone and waits until it is healthy; whatever the test does, it ends with it."""
    supervisors: list[subprocess.Popen[bytes]] = []

    def start(directory: Path, *, detach: bool = False) -> tuple[Native, subprocess.Popen[bytes]]:
        supervisor = up.start(Settings(data_dir=directory), only="postgres", ports="auto", detach=detach)
        supervisors.append(supervisor)
        up.wait_healthy(directory, supervisor=supervisor, timeout_s=60)
        return Native(settings=Settings(data_dir=directory)), supervisor

    yield start
    for supervisor in supervisors:
        stop(supervisor)


@pytest.fixture
def small(started: Start, tmp_path: Path) -> Native:
    return started(tmp_path)[0]


def admin(native: Native) -> str:
    dsn = native.settings.admin_dsn
    assert dsn is not None
    return dsn.get_secret_value()


def left_behind(directory: Path) -> list[str]:
    """Processes whose command line names the directory."""
    listed = subprocess.run(["ps", "-eww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(directory) in line]


def test_killed_component_comes_back_with_its_data(small: Native) -> None:
    with psycopg.connect(admin(small)) as db:
        db.execute("create table kept as select 7 as n")
    before = small.pid("postgres")
    small.kill("postgres")
    small.wait_healthy()
    assert small.pid("postgres") != before
    with psycopg.connect(admin(small)) as db:
        assert db.execute("select n from kept").fetchall() == [(7,)]
    told = state.read(small.settings.data_dir)
    assert told is not None and [each.restarts for each in told.components] == [1]


def test_paused_component_is_seen_and_not_restarted(small: Native) -> None:
    pid = small.pid("postgres")
    small.pause("postgres")
    eventually(lambda: overall(small) == "degraded", what="the pause is seen")
    small.resume("postgres")
    small.wait_healthy()
    assert small.pid("postgres") == pid


def overall(native: Native) -> str | None:
    told = state.read(native.settings.data_dir)
    return told.state if told else None


def test_sigkill_of_the_supervisor_leaves_no_process(started: Start, tmp_path: Path) -> None:
    _native, supervisor = started(tmp_path, detach=True)
    assert left_behind(tmp_path)
    supervisor.kill()
    supervisor.wait()
    eventually(lambda: not left_behind(tmp_path), what=lambda: f"everything is gone: {left_behind(tmp_path)}")


def test_start_after_a_killed_supervisor_finds_the_data(started: Start, tmp_path: Path) -> None:
    native, supervisor = started(tmp_path, detach=True)
    with psycopg.connect(admin(native)) as db:
        db.execute("create table kept as select 7 as n")
    supervisor.kill()
    supervisor.wait()
    native, supervisor = started(tmp_path)
    with psycopg.connect(admin(native)) as db:
        assert db.execute("select n from kept").fetchall() == [(7,)]


def test_stop_leaves_no_process_and_no_address(started: Start, tmp_path: Path) -> None:
    _native, supervisor = started(tmp_path, detach=True)
    up.stop(tmp_path)
    assert supervisor.wait() == 0
    assert left_behind(tmp_path) == []
    assert not (tmp_path / "run.toml").exists()
    with pytest.raises(NotRunning, match=str(tmp_path)):
        up.stop(tmp_path)


def test_second_start_of_a_data_directory_is_refused_by_name(small: Native) -> None:
    told = state.read(small.settings.data_dir)
    assert told is not None
    with pytest.raises(AlreadyRunning, match=f"pid {told.supervisor} .*stack.run.*readside down"):
        up.start(small.settings)
    with pytest.raises(AlreadyRunning):
        state.take_lock(small.settings.data_dir)


def test_taken_port_is_named_with_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = Settings(data_dir=tmp_path, postgres_address=address)
        supervisor = up.start(settings, only="postgres", detach=False)
        with pytest.raises(ComponentFailed, match=rf"postgres cannot listen on {address}: pid {os.getpid()} .*--ports"):
            up.wait_healthy(tmp_path, supervisor=supervisor)
        assert supervisor.wait() == 2


def test_component_that_never_starts_is_given_up_with_the_end_of_its_log(started: Start, tmp_path: Path) -> None:
    _native, supervisor = started(tmp_path)
    stop(supervisor)
    (tmp_path / "postgres" / "global" / "pg_control").unlink()
    supervisor = up.start(Settings(data_dir=tmp_path), only="postgres", ports="auto", detach=False)
    with pytest.raises(ComponentFailed, match=r"(?s)postgres ended .* times.*pg_control"):
        up.wait_healthy(tmp_path, supervisor=supervisor)
    assert supervisor.wait() == 2


def test_secrets_are_for_their_owner_alone(small: Native) -> None:
    for name in ("secrets.json", "run.toml", "stack.json"):
        assert (small.settings.data_dir / name).stat().st_mode & 0o077 == 0


def test_keys_and_tokens_stay_where_they_were_given(tmp_path: Path) -> None:
    state.publish_settings(
        Settings(data_dir=tmp_path, jwt_key=SecretStr("a-key"), token=SecretStr("a-token"), slot="s")
    )
    written = (tmp_path / "run.toml").read_text()
    assert 'slot = "s"' in written
    assert not re.search("a-key|a-token", written)


def test_server_runs_as_nobody_in_particular_when_root_starts_it(small: Native) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has privileges to drop")
    assert (Path("/proc") / str(small.pid("postgres"))).stat().st_uid != 0


def test_supervisor_ends_orderly_on_a_terminals_interrupt(started: Start, tmp_path: Path) -> None:
    _native, supervisor = started(tmp_path, detach=True)
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait() == 0
    assert left_behind(tmp_path) == []
