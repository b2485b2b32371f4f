"""``bench large-transaction``: one source transaction of 1,000,000 rows: the memory it takes, and that nobody sees a part.

Then, with the stores as full as that made them: how long a projector that was killed needs from its start to its first
change, applied and readable. At once, while PostgreSQL vacuums the million rows, the analytics copy is published and the
stores are verified; and once more when the machine has come to rest.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
from pydantic import SecretStr

from benchmarks.result import Result
from config.settings import Settings
from stack import state
from stack.freshness import percentile

_ROWS = 1_000_000
_WAIT_S = 1_200.0
_LOOK_S = 0.1
_RESTARTS = 5
_IDLE_S = 10.0
_REST_S = 300.0
PROJECTORS = ("projector-serving", "projector-analytics")
GOALS = {"memory_mb": 300.0, "restart_s": 2.0}

_USERS = """
    insert into users (email, first_name, last_name, display_name)
    select format('large-%%s-%%s@example.com', %(run)s::text, n), 'Ada', 'Byron ' || n, 'ada' || n
      from generate_series(1, %(rows)s::bigint) n
"""


class Memory:
    """The most memory that a projector had, above what it had at first; pages of files that it only maps are left out.

    That of the process which reads a backlog for it counts too.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.idle_mb = self.most_mb = self.now()

    def now(self) -> float:
        """Megabytes at present."""
        process = Path(f"/proc/{self._pid}")
        children = [Path(f"/proc/{pid}") for pid in (process / f"task/{self._pid}/children").read_text().split()]
        memory_mb = _resident_mb(process)
        for child in children:
            with suppress(OSError):  # it has ended meanwhile
                if b"cdc.reading_process" in (child / "cmdline").read_bytes():
                    memory_mb += _resident_mb(child)
        return memory_mb

    def look(self) -> None:
        """Take note."""
        self.most_mb = max(self.most_mb, self.now())

    @property
    def above_mb(self) -> float:
        """The most, above idle."""
        return self.most_mb - self.idle_mb


def _resident_mb(process: Path) -> float:
    status = (process / "status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in status if line.startswith("RssAnon")), 0.0)


def run(settings: Settings) -> Result:
    """Measure on a running stack."""
    run_ = f"{time.time_ns():x}"
    _await(settings, _write(settings, f"{run_}-first", 1))  # everything has been used once
    memory = {name: Memory(_pid(settings, name)) for name in PROJECTORS}
    before = {name: _told(count, settings) for name, count in _COUNTS.items()}
    seen: dict[str, set[int]] = {name: set() for name in _COUNTS}
    with _looking(settings, memory, seen):
        began = time.monotonic()
        email = _write(settings, run_, _ROWS)
        written_s = time.monotonic() - began
        _await(settings, email)
        applied_s = time.monotonic() - began
    parts = {name: sorted(counts - {before[name], before[name] + _ROWS}) for name, counts in seen.items()}
    figures: dict[str, float | int | str] = {
        "rows": _ROWS,
        "written_s": written_s,
        "readable_in_both_stores_s": applied_s,
        "looks_that_saw_a_part": sum(map(len, parts.values())),
        "parts_seen": " ".join(f"{name}:{rows - before[name]}" for name, part in parts.items() for rows in part),
    }
    for name, of in memory.items():
        figures |= {f"{name}_idle_mb": of.idle_mb, f"{name}_above_idle_mb": of.above_mb}
    goals = {
        f"{n}_above_idle_mb": (m.above_mb, GOALS["memory_mb"], m.above_mb <= GOALS["memory_mb"])
        for n, m in memory.items()
    }
    goals["looks_that_saw_a_part"] = (figures["looks_that_saw_a_part"], 0.0, figures["looks_that_saw_a_part"] == 0)  # pyright: ignore[reportArgumentType]
    for when in ("restart", "restart_at_rest"):
        if when == "restart_at_rest":
            figures["rest_after_s"] = _await_rest()
        for name, restart in _restarts(settings, f"{run_}-{when}").items():
            worst = max(restart)
            figures |= {f"{name}_{when}_p50_s": percentile(restart, 0.5), f"{name}_{when}_worst_s": worst}
            goals[f"{name}_{when}_worst_s"] = (worst, GOALS["restart_s"], worst <= GOALS["restart_s"])
    return Result(name="large-transaction", figures=figures, goals=goals)


def _told(count: Callable[[Settings], int | None], settings: Settings) -> int:
    while (rows := count(settings)) is None:
        time.sleep(_LOOK_S)
    return rows


def _restarts(settings: Settings, run_: str) -> dict[str, list[float]]:
    """Seconds from each new process's start until a user written while there was none is readable, by projector."""
    took: dict[str, list[float]] = {name: [] for name in PROJECTORS}
    for name in PROJECTORS:
        readable = _serving_has if name == "projector-serving" else _analytics_has
        for turn in range(_RESTARTS):
            old = _pid(settings, name)
            os.kill(old, signal.SIGKILL)
            email = _write(settings, f"{run_}-{name}-{turn}", 1)
            started, new = _await_new(settings, name, old)
            while not readable(settings, email):
                time.sleep(0.02)
            took[name].append(time.time() - started)
            assert _pid(settings, name) == new, f"{name} was started twice"
    return took


def _await_rest() -> float:
    """Seconds until the processors have been idle for half of a while, or until that was waited for long enough."""
    began = time.monotonic()
    while time.monotonic() - began < _REST_S:
        idle, ticks = _ticks()
        time.sleep(_IDLE_S)
        idle_now, ticks_now = _ticks()
        if idle_now - idle > (ticks_now - ticks) / 2:
            break
    return time.monotonic() - began


def _ticks() -> tuple[int, int]:
    """In which the processors were idle, and all, since the machine was started (proc_stat(5))."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[3], sum(ticks)


def _await_new(settings: Settings, name: str, old: int) -> tuple[float, int]:
    """When the process that follows ``old`` was started, by the machine's clock, and its pid."""
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        pid = _known_pid(settings, name)
        if pid is not None and pid != old and Path(f"/proc/{pid}").exists():
            ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
            up_s = float(Path("/proc/uptime").read_text().split()[0])
            return time.time() - (up_s - ticks / os.sysconf("SC_CLK_TCK")), pid
        time.sleep(0.005)
    raise TimeoutError(f"{name} was not started again within 60 s")


@contextmanager
def _looking(settings: Settings, memory: dict[str, Memory], seen: dict[str, set[int]]) -> Generator[None]:
    """Look at memory and at how many rows there are, in threads of their own, while the block runs."""
    stop = threading.Event()

    def weigh() -> None:
        while not stop.wait(_LOOK_S / 2):
            for of in memory.values():
                of.look()

    def count(name: str) -> None:
        while not stop.wait(_LOOK_S):
            if (rows := _COUNTS[name](settings)) is not None:
                seen[name].add(rows)

    threads = [threading.Thread(target=weigh), *(threading.Thread(target=count, args=(name,)) for name in _COUNTS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _write(settings: Settings, run_: str, rows: int) -> str:
    """Commit so many users at once; the email of the last."""
    with psycopg.connect(_secret(settings.writer_dsn)) as writer:
        writer.execute(_USERS, {"run": run_, "rows": rows})
    return f"large-{run_}-{rows}@example.com"


def _await(settings: Settings, email: str) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not (_serving_has(settings, email) and _analytics_has(settings, email)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not readable in both stores within {_WAIT_S:.0f} s; see `readside status`")
        time.sleep(_LOOK_S)


def _serving_has(settings: Settings, email: str) -> bool:
    query = "select 1 from read_models.user_profile where id = (select id from mirror.users where email = %(email)s)"
    return _serving(settings, query, {"email": email}) is not None


def _analytics_has(settings: Settings, email: str) -> bool:
    return bool(_analytics(settings, "select count(*) from customers where email = $email", {"email": email}))


def _serving(settings: Settings, query: Any, parameters: dict[str, Any] | None = None) -> tuple[Any, ...] | None:
    with psycopg.connect(_secret(settings.serving_dsn)) as store:
        return store.execute(query, parameters).fetchone()


def _analytics(settings: Settings, query: str, parameters: dict[str, Any] | None = None) -> int | None:
    """A count; None where it is not answered: the projector is starting, or there are too many statements."""
    try:
        answer = httpx.post(
            f"http://{settings.analytics_address}/sql",
            json={"sql": query, "parameters": parameters or {}},
            timeout=30.0,
            trust_env=False,
        )
    except httpx.HTTPError:
        return None
    return answer.json()["rows"][0][0] if answer.status_code == 200 else None


def _count(query: str) -> Callable[[Settings], int]:
    def count(settings: Settings) -> int:
        row = _serving(settings, query)
        assert row is not None
        return row[0]

    return count


#: Whatever holds one row per user. None: it is not told now.
_COUNTS: dict[str, Callable[[Settings], int | None]] = {
    "mirror": _count("select count(*) from mirror.users"),
    "user_profile": _count("select count(*) from read_models.user_profile"),
    "customers": lambda settings: _analytics(settings, "select count(*) from customers"),
}


def _pid(settings: Settings, name: str) -> int:
    pid = _known_pid(settings, name)
    assert pid is not None, f"{name} does not run"
    return pid


def _known_pid(settings: Settings, name: str) -> int | None:
    told = state.read(settings.data_dir)
    return next((each.pid for each in told.components if each.name == name), None) if told else None


def _secret(dsn: SecretStr | None) -> str:
    assert dsn is not None
    return dsn.get_secret_value()
