"""The fixture ``stack``: the whole system, from wherever there is one: given, in Docker, or started natively.

``--stack=auto`` takes the first of: external (READSIDE_TEST_EXTERNAL is set), docker (a daemon answers), native. A chosen
backend that cannot start fails; it is never skipped.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pytest

from config.settings import Settings
from queries.health import collect
from queries.topics import forget_logs
from stack import connect, state, up
from stack.demo import running
from stack.java import find_java, makes_class_cache
from stack.process import stop
from tests import directories
from tests.databases import eventually

ROOT = Path(__file__).parents[1]
EXTERNAL = "READSIDE_TEST_EXTERNAL"
PARKED = ("public.sellers",)  # tables of which the native stack parks what cannot be applied
OPTIONS = {"parked_on_poison": PARKED, "history_lost": "snapshot"}  # of the shared native stack
_ENDING = pytest.StashKey[ExitStack]()  # what ends it
_LAST = pytest.StashKey[pytest.Item | None]()  # the last test of the modules on it


class Stack(Protocol):
    """A running system, and the power to disturb it. Components are named as ``readside status`` does."""

    @property
    def settings(self) -> Settings:
        """How to reach every part from here."""
        ...

    def kill(self, component: str) -> None:
        """End a component at once, as SIGKILL does; it is expected to come back."""
        ...

    def pause(self, component: str) -> None:
        """Stop a component from running, with all its processes, without ending it."""
        ...

    def resume(self, component: str) -> None:
        """Let a paused component go on."""
        ...

    def wait_healthy(self, timeout_s: float = 60.0) -> None:
        """Return when every component does its work; fail the test when the time is over."""
        ...


@dataclass(slots=True, kw_only=True)
class Native:
    """The stack of `stack.up`, in a directory of its own."""

    settings: Settings
    paused: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    def pid(self, component: str) -> int:
        """The component's process; fails the test when it has none."""
        told = state.read(self.settings.data_dir)
        pids = {each.name: each.pid for each in told.components} if told else {}
        pid = pids.get(component)
        assert pid is not None, f"{component} does not run: {told}"
        return pid

    def kill(self, component: str) -> None:
        pid = self.pid(component)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: self.pid_now(component) != pid, what=f"the supervisor sees that {component} is gone")

    def pause(self, component: str) -> None:
        self.paused[component] = [self.pid(component), *_descendants(self.pid(component))]
        for pid in self.paused[component]:
            os.kill(pid, signal.SIGSTOP)

    def resume(self, component: str) -> None:
        for pid in self.paused.pop(component):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def wait_healthy(self, timeout_s: float = 60.0) -> None:
        up.wait_healthy(self.settings.data_dir, timeout_s=timeout_s)

    def pid_now(self, component: str) -> int | None:
        """The component's process, None when it has none just now."""
        told = state.read(self.settings.data_dir)
        return next((each.pid for each in told.components if each.name == component), None) if told else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """The repository's docker-compose.yml, as users run it."""

    settings: Settings
    compose: Any

    def kill(self, component: str) -> None:
        self._run("kill", component)
        self._run("start", component)

    def pause(self, component: str) -> None:
        self._run("pause", component)

    def resume(self, component: str) -> None:
        self._run("unpause", component)

    def wait_healthy(self, timeout_s: float = 60.0) -> None:
        _wait_for_health(self.settings, timeout_s)

    def _run(self, action: str, component: str) -> None:
        subprocess.run([*self.compose.docker_compose_command(), action, component], cwd=ROOT, check=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """A system somebody else runs: READSIDE_… settings say where. Tests may use it, not disturb it."""

    settings: Settings

    def kill(self, component: str) -> None:
        pytest.fail(f"{component} is somebody else's and is not killed; run this test with --stack=native")

    pause = resume = kill

    def wait_healthy(self, timeout_s: float = 60.0) -> None:
        _wait_for_health(self.settings, timeout_s)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--stack",
        choices=("auto", "docker", "native", "external"),
        default="auto",
        help="where the fixture `stack` takes the system from",
    )


def pytest_report_header(config: pytest.Config) -> str:
    return f"stack: {chosen_backend(config)} (--stack={config.getoption('--stack')})"


def chosen_backend(config: pytest.Config) -> str:
    """The backend that the options and this machine lead to."""
    asked = str(config.getoption("--stack"))
    if asked != "auto":
        return asked
    if os.environ.get(EXTERNAL):
        return "external"
    return "docker" if docker_answers() else "native"


def docker_answers() -> bool:
    """True if a Docker daemon answers; that a client is installed proves nothing."""
    import docker
    from docker.errors import DockerException

    with warnings.catch_warnings():
        # The client leaves its socket to the garbage collector when nobody answers.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            with closing(docker.from_env(timeout=2)) as client:
                return bool(client.ping())
        except DockerException:
            return False
        finally:
            gc.collect()


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The whole system, healthy, shared by every test of the session; it ends with the last one that asks for it."""
    backends = {"native": lambda: native_stack(**OPTIONS), "docker": _docker, "external": _external}
    with ExitStack() as ending:
        request.config.stash[_ENDING] = ending
        yield ending.enter_context(contextmanager(backends[chosen_backend(request.config)])())


def sharing_modules(items: Iterable[pytest.Item]) -> set[Path]:
    """Those with a test that asks for the shared stack, not for one of its module's own."""
    asking = (item for item in items if "stack" in getattr(item, "fixturenames", ()))
    return {item.path for item in asking if not hasattr(getattr(item, "module", None), "stack")}


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Remember whose end is that of the shared stack: modules on it run in one process, in the order in which they are
    here, and what a module's tests share may last until its last one."""
    sharing = sharing_modules(session.items)
    session.config.stash[_LAST] = next((item for item in reversed(session.items) if item.path in sharing), None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """End the shared stack behind its last test: idle, it takes half a processor from all tests to come."""
    try:
        return (yield)
    finally:
        if item is item.config.stash[_LAST] and (ending := item.config.stash.get(_ENDING, None)):
            ending.close()


@pytest.fixture(autouse=True)
def cut_off_connections(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collects what clients of a killed component leave behind: their libraries leave a socket that was cut off in the
    middle to the collector, which would warn of it inside whatever test comes later."""
    yield
    if "stack" in request.fixturenames or "acceptance" in request.path.parts:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@cache
def keep_java_classes() -> None:
    """Kafka and Connect start in half the time with the classes that a first stop of theirs keeps: made for all stacks."""
    if makes_class_cache(find_java(), connect.MAIN):
        with (
            directories.temporary("classes") as directory,
            running(Settings(data_dir=directory), only="postgres,kafka,connect", ports="auto"),
        ):
            pass


def native_stack(**given: Any) -> Iterator[Native]:
    """A native stack of its own with these settings, healthy; it ends with the iteration."""
    keep_java_classes()
    # Nobody looks at its screens while the tests that wait for the analytics store take all processors.
    settings: dict[str, Any] = {"java_class_cache": False, "analytics_nice": 0, **given}
    with directories.temporary("stack") as directory:
        supervisor = up.start(Settings(data_dir=directory, **settings), ports="auto", detach=False)
        try:
            up.wait_healthy(directory, supervisor=supervisor)
            yield Native(settings=Settings(data_dir=directory))
        finally:
            forget_logs()
            stop(supervisor, timeout_s=120)


def _docker() -> Iterator[Stack]:
    from testcontainers.compose import DockerCompose

    names = ("POSTGRES", "CDC", "PROJECTOR", "QUERIES", "WRITER")
    with directories.temporary("compose") as directory:
        environment = directory / ".env"
        environment.write_text("".join(f"{name}_PASSWORD={os.urandom(12).hex()}\n" for name in names))
        secrets = dict(line.split("=") for line in environment.read_text().splitlines())
        with DockerCompose(ROOT, env_file=str(environment), build=True, wait=True) as compose:
            yield Composed(settings=_composed_settings(secrets), compose=compose)


def _composed_settings(secrets: dict[str, str]) -> Settings:
    def dsn(role: str, secret: str, database: str) -> Any:
        return f"postgresql://{role}:{secrets[secret]}@127.0.0.1:5433/{database}"

    return Settings(
        admin_dsn=dsn("postgres", "POSTGRES_PASSWORD", "postgres"),
        writer_dsn=dsn("shop_writer", "WRITER_PASSWORD", "shop"),
        source_dsn=dsn("readside_cdc", "CDC_PASSWORD", "shop"),
        serving_dsn=dsn("readside_projector", "PROJECTOR_PASSWORD", "readside"),
        queries_dsn=dsn("readside_queries", "QUERIES_PASSWORD", "readside"),
    )


def _external() -> Iterator[Stack]:
    yield External(settings=Settings())


def _wait_for_health(settings: Settings, timeout_s: float) -> None:
    eventually(lambda: collect(settings).state == "ok", what="every component is ok", deadline_s=timeout_s)


def _descendants(pid: int) -> list[int]:
    children = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _parent(entry) == pid]
    return children + [each for child in children for each in _descendants(child)]


def _parent(process: Path) -> int | None:
    with suppress(OSError):
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    return None
