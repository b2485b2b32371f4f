"""The pipeline's health: every probe at once, each bounded, none able to fail the whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from config.settings import Settings
from queries import diagnosis, probes, supervision, topics, wal
from queries.capture import Alarm
from queries.diagnosis import Seen, Sight
from queries.pipeline import Addresses, Health, worst

T = TypeVar("T")

COLLECT_S = 1.3  # a probe that takes longer counts as no answer
STALE_S = 5.0
STALE_PULSES = 10


def collect(settings: Settings) -> Health:
    """Look at everything, in less than 1.5 s. A component that does not answer is shown as down; nothing is raised."""
    began = time.monotonic()
    sight = _look(settings)
    components, hops = diagnosis.components(sight), diagnosis.hops(sight)
    return Health(
        addresses=addresses(settings),
        components=components,
        hops=hops,
        models=diagnosis.models(sight),
        verified=diagnosis.verified(sight),
        dead_letters=diagnosis.dead_letters(sight),
        state=worst([part.state for part in (*components, *hops)]),
        took_ms=int((time.monotonic() - began) * 1000),
    )


def _look(settings: Settings) -> Sight:
    pool = ThreadPoolExecutor(max_workers=9, thread_name_prefix="probe")
    started: list[Future[object]] = []

    def start(probe: Callable[[], T]) -> Future[T]:
        future = pool.submit(probe)
        started.append(future)  # pyright: ignore[reportArgumentType]  # only waited for
        return future

    store = settings.queries_dsn
    slot = start(lambda: wal.slot(settings)) if settings.source_dsn else None
    serving = start(lambda: probes.serving(_secret(store))) if store else None
    analytics = start(lambda: probes.analytics(settings))
    connector = start(lambda: probes.connector(settings))
    log = start(topics.log_of(settings.kafka, settings.topic_prefix).ends)
    writer = start(lambda: probes.alive(settings.writer_address))
    queries = start(lambda: probes.alive(settings.queries_address))
    projector = start(lambda: probes.alive(settings.serving_metrics_address))
    supervised = start(lambda: supervision.supervised(settings))
    wait(started, timeout=COLLECT_S)
    pool.shutdown(wait=False, cancel_futures=True)
    return Sight(
        at=datetime.now(UTC),
        stale_s=max(STALE_S, STALE_PULSES * settings.pulse_interval_s),
        bookkeeping=topics.bookkeeping(settings.topic_prefix),
        slot=_seen(slot) if slot else Seen(unset="READSIDE_SOURCE_DSN"),
        connector=_seen(connector),
        log=_seen(log),
        serving=_seen(serving) if serving else Seen(unset="READSIDE_QUERIES_DSN"),
        analytics=_seen(analytics),
        writer=_writer(settings, _seen(writer)),
        queries=_seen(queries),
        projector=_seen(projector),
        alarm=Alarm(wal_alarm_s=settings.wal_alarm_s, wal_alarm_bytes=settings.wal_alarm_bytes),
        connector_url=f"{settings.connect_url.rstrip('/')}/connectors/{settings.connector}",
        supervised=_seen(supervised).value or {},
    )


def _writer(settings: Settings, seen: Seen[None]) -> Seen[None]:
    """Somebody else's database has no writer of ours, and need not."""
    foreign = settings.source_dsn is not None and settings.writer_dsn is None
    return Seen(unset="READSIDE_WRITER_DSN") if foreign and seen.fault else seen


def _seen(future: Future[T]) -> Seen[T]:
    """What came of a probe. Of an error only its class is told: its text may name users, hosts or values."""
    if not future.done() or future.cancelled():
        return Seen(fault=f"no answer within {COLLECT_S:g} s")
    try:
        return Seen(value=future.result())
    except (Exception, CancelledError) as error:
        return Seen(fault=type(error).__name__)


def addresses(settings: Settings) -> Addresses:
    """Where everything is, for an operator at this machine."""
    return Addresses(
        writer=f"http://{settings.writer_address}",
        queries=f"http://{settings.queries_address}",
        shop_dsn=_operator_dsn(settings.admin_dsn, settings.source_dsn),
        serving_dsn=_operator_dsn(settings.admin_dsn, settings.serving_dsn or settings.queries_dsn),
        kafka=settings.kafka,
        connect=settings.connect_url,
        analytics_copy=str(settings.analytics_copy),
    )


def _operator_dsn(admin: SecretStr | None, role: SecretStr | None) -> str | None:
    """The database that ``role``'s URL names, as the administrator where the same server knows one."""
    if role is None or admin is None:
        return _secret(role) if role else None
    of_admin, of_role = conninfo_to_dict(_secret(admin)), conninfo_to_dict(_secret(role))
    if any(of_admin.get(part) != of_role.get(part) for part in ("host", "port")):
        return _secret(role)
    return urlsplit(_secret(admin))._replace(path=f"/{of_role['dbname']}").geturl()


def _secret(dsn: SecretStr) -> str:
    return dsn.get_secret_value()
