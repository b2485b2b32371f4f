"""The components of a native stack: what each needs, how it is prepared, started, recognised and stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from config.environment import bare_environment, environment_of
from config.settings import Settings
from stack import connect, kafka, postgres, probe
from stack.errors import StackError
from stack.java import Java, find_java, keep_class_cache, makes_class_cache
from stack.plan import owns_source
from stack.process import spawn
from stack.provision import provision_serving, provision_source

_QUICK_STOP_S, _ORDERLY_STOP_S, _CLASS_CACHE_STOP_S = 8.0, 30.0, 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One child process of the stack."""

    name: str
    #: host:port it will listen on; empty if it does not listen.
    address: str = ""
    #: Names of components that must be healthy before it starts.
    needs: tuple[str, ...] = ()
    #: What to do before each start; may take long, may run beside other components' preparations.
    prepare: Callable[[], None] = lambda: None
    #: Starts the process; returns at once.
    start: Callable[[Path], subprocess.Popen[bytes]]
    #: True if the running process answers and is ours.
    ready: Callable[[], bool]
    #: True if the process that was recognised still answers; cheaper, asked every second. By default the same as ready.
    answers: Callable[[], bool] | None = None
    #: What to do once, when it is ready for the first time.
    first_ready: Callable[[], None] = lambda: None
    #: What to do after a stop that it obeyed.
    stopped: Callable[[], None] = lambda: None
    polite: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = field(default=_ORDERLY_STOP_S)


def components_of(settings: Settings, names: Sequence[str], jars: Future[list[Path]]) -> list[Component]:
    """The named components for these completed settings, in the order they are shown.

    ``jars`` is the fetch under way; what runs on Java waits for it before it starts.
    """
    makers: Mapping[str, Callable[[], Component]] = {
        "postgres": lambda: _postgres(settings),
        "kafka": lambda: _kafka(settings, _java(settings), jars),
        "connect": lambda: _connect(settings, _java(settings), jars, names),
        "writer": lambda: _ours(settings, "writer", ("writer",), ("postgres",), probe.writer, settings.writer_address),
        "projector-serving": lambda: _ours(
            settings,
            "projector-serving",
            ("projectors", "serving"),
            ("postgres", "kafka"),
            probe.serving,
            settings.serving_metrics_address,
        ),
        "projector-analytics": lambda: _ours(
            settings,
            "projector-analytics",
            ("projectors", "analytics"),
            ("postgres", "kafka"),
            probe.analytics,
            settings.analytics_address,
        ),
        "queries": lambda: _ours(
            settings, "queries", ("queries",), ("postgres",), probe.queries, settings.queries_address
        ),
    }
    return [makers[name]() for name in names]


def _postgres(settings: Settings) -> Component:
    cluster = postgres.Cluster(
        binaries=postgres.find_binaries(settings.postgres_bin),
        directory=settings.data_dir / "postgres",
        address=settings.postgres_address,
        password=str(conninfo_to_dict(_secret(settings.admin_dsn))["password"]),
        user=postgres.unprivileged_user(settings.postgres_user),
    )
    return Component(
        name="postgres",
        address=settings.postgres_address,
        prepare=lambda: postgres.initialise(cluster),
        start=lambda log: postgres.start(cluster, log),
        ready=lambda: postgres.ready(cluster),
        first_ready=lambda: provision(settings),
        # PostgreSQL's "fast" shutdown: ends sessions, writes everything; SIGTERM would wait for the last client.
        polite=signal.SIGINT,
    )


def provision(settings: Settings) -> None:
    """Make the databases, roles, tables and the publication that these settings speak of, as far as they are ours."""
    admin = _secret(settings.admin_dsn)
    if owns_source(settings):
        provision_source(
            admin,
            writer_dsn=_secret(settings.writer_dsn),
            source_dsn=_secret(settings.source_dsn),
            publication=settings.publication,
        )
    provision_serving(admin, serving_dsn=_secret(settings.serving_dsn), queries_dsn=_secret(settings.queries_dsn))


def _java(settings: Settings) -> Java:
    return find_java(settings.java_home, make_class_cache=settings.java_class_cache)


def _kafka(settings: Settings, java: Java, jars: Future[list[Path]]) -> Component:
    directory = settings.data_dir / "kafka"
    return Component(
        name="kafka",
        address=settings.kafka,
        prepare=lambda: kafka.prepare(directory, settings.kafka, java, jars.result()),
        start=lambda log: spawn(kafka.broker(directory, java, jars.result()), log=log, cwd=directory),
        ready=lambda: kafka.ready(settings.kafka, directory),
        answers=lambda: kafka.answers(settings.kafka),
        stopped=lambda: keep_class_cache(java, kafka.MAIN),
        stop_timeout_s=_CLASS_CACHE_STOP_S if makes_class_cache(java, kafka.MAIN) else _ORDERLY_STOP_S,
    )


def _connect(settings: Settings, java: Java, jars: Future[list[Path]], names: Sequence[str]) -> Component:
    directory, broker = settings.data_dir / "connect", settings.data_dir / "kafka"
    password = str(conninfo_to_dict(_secret(settings.source_dsn)).get("password", "")) if settings.source_dsn else ""
    env = bare_environment() | {"READSIDE_CDC_PASSWORD": password}
    return Component(
        name="connect",
        address=settings.connect_url.rpartition("/")[2],
        needs=("kafka",),
        prepare=lambda: connect.prepare(directory, url=settings.connect_url, kafka=settings.kafka),
        start=lambda log: spawn(connect.worker(directory, java, jars.result()), log=log, cwd=directory, env=env),
        ready=lambda: connect.ready(settings.connect_url, kafka.cluster_id(broker) if "kafka" in names else ""),
        stopped=lambda: keep_class_cache(java, connect.MAIN),
        # Its state is thrown away at every start, and a worker told to stop while it starts may hang.
        stop_timeout_s=_CLASS_CACHE_STOP_S if makes_class_cache(java, connect.MAIN) else _QUICK_STOP_S,
    )


def _ours(
    settings: Settings,
    name: str,
    module: tuple[str, ...],
    needs: tuple[str, ...],
    healthy: Callable[[Settings], None],
    address: str = "",
) -> Component:
    """A process of readside's own: ``python -m …`` with these settings as its environment."""
    return Component(
        name=name,
        address=address,
        needs=needs,
        start=lambda log: spawn(
            [sys.executable, "-m", *module], log=log, cwd=settings.data_dir, env=environment_of(settings)
        ),
        ready=lambda: _answers(healthy, settings),
    )


def _answers(healthy: Callable[[Settings], None], settings: Settings) -> bool:
    try:
        healthy(settings)
    except (probe.Unhealthy, httpx.HTTPError, psycopg.Error):
        return False
    return True


def _secret(value: SecretStr | None) -> str:
    if value is None:
        raise StackError("a DSN is missing: name it in READSIDE_ADMIN_DSN and its kin, or run postgres too")
    return value.get_secret_value()
