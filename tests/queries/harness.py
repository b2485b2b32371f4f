"""What the tests of the query server stand on: the projector's tables, its commits, and the real server over HTTP."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import psycopg
import uvicorn
from prometheus_client import REGISTRY
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from config.serving import Http
from config.settings import Settings
from projectors.read_models import DECLARATIONS
from queries.app import create_app
from stack.ports import free
from tests.databases import eventually

# As declared, but for columns that a test has no use for: it need not fill them.
READ_MODELS = "create extension if not exists pg_trgm;" + "".join(
    f"create table read_models.{model.name} ({model.columns.replace(' not null', '')});"
    for model in DECLARATIONS.of_store("serving").read_models
)
#: The projector's own.
ASK_FOR_RETRY = "".join(
    re.findall(
        r"^create or replace function readside\.ask_for_retry.*?^end \$\$;|^revoke .*ask_for_retry.*",
        resources.files("projectors.serving").joinpath("schema.sql").read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )
)
SCHEMA = """
    create schema if not exists readside;
    create schema if not exists read_models;
    create table readside.checkpoint (
        store text primary key, epoch bigint not null, phase text not null, end_lsn pg_lsn, committed_at timestamptz,
        applied_at timestamptz, changes bigint not null, rate double precision not null, state jsonb not null
    );
    create table readside.recent_transactions (xid bigint primary key, end_lsn pg_lsn, applied_at timestamptz);
    create table readside.declared (
        name text primary key, kind text, version bigint, parked text, dead_letters bigint not null default 0
    );
    create table readside.dead_letters (
        topic text, partition integer, "offset" bigint, "table" text, key text default '{"id": 1}', xid bigint,
        end_lsn pg_lsn default '0/100', "order" bigint default 0, reason text, payload bytea default 'secret', asked text
    );
    {ask_for_retry}
    grant execute on function readside.ask_for_retry to readside_queries;
    {read_models}
    insert into readside.checkpoint
    values ('serving', 1, 'streaming', '0/100', '2026-01-01T00:00:00Z', now(), 0, 0, '{"frontier": {}}');
    grant usage on schema readside, read_models to readside_queries;
    grant select on all tables in schema readside, read_models to readside_queries;
""".replace("{read_models}", READ_MODELS).replace("{ask_for_retry}", ASK_FOR_RETRY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Projector:
    """Stands where the projector stands: changes the store as one of its transactions does."""

    conn: psycopg.Connection[Any]

    def apply(self, end_lsn: str, xid: int | None = None, *, notify: bool = True, **rows: dict[str, Any]) -> None:
        """Commit rows (``table={column: value}``) and the checkpoint, and tell the readers."""
        with self.conn.transaction():
            for table, row in rows.items():
                self.put(table, **row)
            self.conn.execute(
                "update readside.checkpoint set end_lsn = %(lsn)s, committed_at = now(), applied_at = now()",
                {"lsn": end_lsn},
            )
            if xid is not None:
                self.conn.execute(
                    "insert into readside.recent_transactions values (%(xid)s, %(lsn)s, now())",
                    {"xid": xid, "lsn": end_lsn},
                )
            if notify:
                self.conn.execute("select pg_notify('readside_checkpoint', %(lsn)s)", {"lsn": end_lsn})

    def put(self, table: str, **row: Any) -> None:
        """Insert or replace one row of a read model; `search` is text."""
        if "id" in row:
            row["document"] = json.dumps(row.get("document", {"id": str(row["id"])}))
        values = ", ".join(f"to_tsvector('simple', %({c})s)" if c == "search" else f"%({c})s" for c in row)
        updates = ", ".join(f"{column} = excluded.{column}" for column in row)
        conflict = f"on conflict (id) do update set {updates}" if "id" in row else ""
        self.conn.execute(
            f"insert into read_models.{table} ({', '.join(row)}) values ({values}) {conflict}",  # pyright: ignore
            row,
        )


@dataclass(slots=True, kw_only=True)
class Api:
    """The running query server: an HTTP client on it, its settings and its application."""

    http: httpx.Client
    settings: Settings
    app: Any

    def get(self, path: str, headers: dict[str, str] | None = None, **parameters: Any) -> httpx.Response:
        """GET with query parameters."""
        return self.http.get(path, params=parameters, headers=headers)


def heard() -> float | None:
    """1 while the query server of this process hears the projector's commits."""
    return REGISTRY.get_sample_value("readside_queries_listening")


@contextmanager
def serving(settings: Settings) -> Iterator[Api]:
    """The real server, in a thread of this process, until the block ends."""
    host, _, port = settings.queries_address.rpartition(":")
    app = create_app(settings)
    config = uvicorn.Config(
        app, host=host, port=int(port), http=Http, log_config=None, access_log=False, timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started and heard() == 1, what="the query server listens")
        with httpx.Client(base_url=f"http://{settings.queries_address}", timeout=20, trust_env=False) as http:
            yield Api(http=http, settings=settings, app=app)
    finally:
        server.should_exit = True
        thread.join()


def alone(store_database: str, data_dir: Path, **more: Any) -> Settings:
    """Settings of a query server, and of an analytics endpoint, on a store; nothing else of the stack is there."""
    ports = free(count=2)
    return Settings(
        data_dir=data_dir,
        queries_address=f"127.0.0.1:{ports[0]}",
        analytics_address=f"127.0.0.1:{ports[1]}",
        queries_dsn=as_queries(store_database),
        kafka="127.0.0.1:1",
        connect_url="http://127.0.0.1:1",
        writer_address="127.0.0.1:1",
        serving_metrics_address="127.0.0.1:1",
        **more,
    )


def as_queries(dsn: str) -> SecretStr:
    """The libpq URL of the same database as the read-only role (all test roles share the superuser's password)."""
    return SecretStr(make_conninfo(dsn, user="readside_queries", password=conninfo_to_dict(dsn)["password"]))
