"""A container's health check: ``python -m stack.probe NAME`` exits 0 when that process of ours does its work.

What flows in: the settings the process itself was given. What flows out: the exit code, and one sentence on standard
error when unhealthy. Healthy means doing the work: an open port proves nothing, and lag further down the pipeline is
not this process's illness.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

import httpx
import psycopg

from config.settings import Settings

TIMEOUT_S = 3.0
STALL_S = 30  # pulses move a healthy projector's checkpoint every settings.pulse_interval_s


class Unhealthy(Exception):
    """The process answers, but does not do its work; the message says what is wrong."""


def writer(settings: Settings) -> None:
    """Healthy: the writer answers and reaches its database."""
    answer(f"http://{settings.writer_address}/readyz")


def queries(settings: Settings) -> None:
    """Healthy: the query server answers and reaches its store."""
    answer(f"http://{settings.queries_address}/readyz")


def analytics(settings: Settings) -> None:
    """Healthy: the owner of the DuckDB file answers for it."""
    answer(f"http://{settings.analytics_address}/state")


def connector(settings: Settings) -> None:
    """Healthy: Kafka Connect runs the connector and each of its tasks."""
    status = answer(f"{settings.connect_url}/connectors/{settings.connector}/status").json()
    states = [status["connector"]["state"], *(task["state"] for task in status["tasks"])]
    if len(states) < 2 or any(state != "RUNNING" for state in states):
        raise Unhealthy(f"connector {settings.connector} and its tasks are {', '.join(states)}; see its log")


def serving(settings: Settings) -> None:
    """Healthy: the serving store's checkpoint was moved lately."""
    if settings.serving_dsn is None:
        raise Unhealthy("READSIDE_SERVING_DSN is not set; give it the serving store's URL")
    dsn = settings.serving_dsn.get_secret_value()
    with psycopg.connect(dsn, connect_timeout=int(TIMEOUT_S)) as connection:
        moved = connection.execute(
            """
            select 1
              from readside.checkpoint
             where store = 'serving'
               and applied_at > now() - make_interval(secs => %(stall_s)s)
            """,
            {"stall_s": STALL_S},
        ).fetchone()
    if moved is None:
        raise Unhealthy(f"the serving store's checkpoint has not moved for {STALL_S} s; see the projector's log")


PROBES: dict[str, Callable[[Settings], None]] = {
    probe.__name__: probe for probe in (writer, queries, analytics, connector, serving)
}


def answer(url: str) -> httpx.Response:
    """The answer of ``url``; raises ``httpx.HTTPError`` unless it is a success within ``TIMEOUT_S``."""
    return _client().get(url).raise_for_status()


@functools.cache
def _client() -> httpx.Client:
    # One for the process: making one loads the certificate store, 25 ms that the supervisor would pay at every look.
    return httpx.Client(timeout=TIMEOUT_S, trust_env=False)


def main() -> str | int:
    """Run the named probe; 0 when healthy, else what is wrong, which makes the exit code 1."""
    probe = PROBES.get(sys.argv[1]) if len(sys.argv) == 2 else None
    if probe is None:
        return f"usage: python -m stack.probe {'|'.join(PROBES)}"
    try:
        probe(Settings())
    except (Unhealthy, httpx.HTTPError, psycopg.Error) as error:
        return f"unhealthy: {error}"
    return 0


if __name__ == "__main__":
    sys.exit(main())
