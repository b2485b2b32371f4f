"""The doctor at real databases that are not the shop: what it finds, and that its fixes, pasted, mend it."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier, Literal

from cdc.catalog import read_tables
from config.environment import environment_of
from config.settings import Settings
from stack import doctor_kafka
from stack.doctor import carried, examine
from stack.doctor_source import source
from stack.finding import Finding
from stack.postgres import dsn
from tests import worker
from tests.backends import native_stack
from tests.databases import eventually

TABLES = """
    create schema "Sales Dept";
    create table machines (
        id int primary key, name text not null, weight numeric, installed timestamptz default now(),
        tags text[], data jsonb);
    create table "Sales Dept"."Order Lines" (
        "Order" int, "Line" int, qty numeric(10,2), note text, primary key ("Order", "Line"));
    create table readings (
        machine int, at timestamp, value double precision, primary key (machine, at)) partition by range (at);
    create table readings_1 partition of readings for values from ('2026-01-01') to ('2026-07-01');
    create table readings_2 partition of readings for values from ('2026-07-01') to ('2027-01-01');
    create table keyless (n int);
    insert into machines select g, 'm' || g, g * 1.5, now(), array['a', 'b'], '{"a": 1}' from generate_series(1, 500) g;
    insert into "Sales Dept"."Order Lines" select g, l, 1.25, 'é' from generate_series(1, 100) g, generate_series(1, 3) l;
    insert into readings
    select g, timestamp '2026-06-30 23:00' + g * interval '1 minute', g / 3.0 from generate_series(1, 200) g;
"""
CHANGES = """
    update machines set name = name || 'x' where id % 3 = 0;
    update machines set id = id + 10000 where id = 499;
    insert into machines (id, name) values (7777, 'new');
    delete from readings where machine < 10;
    update readings set at = at + interval '1 day' where machine > 190;
    truncate "Sales Dept"."Order Lines";
    insert into "Sales Dept"."Order Lines" values (1, 1, 3.5, null);
"""


class Foreign:
    """Somebody's database, its owner's connection, and the settings of who wants to capture it."""

    def __init__(self, url: str) -> None:
        self.role, self.slot = f"capture_{secrets.token_hex(4)}", f"slot_{secrets.token_hex(4)}"
        self.owner = psycopg.connect(url, autocommit=True)
        self.sql: Callable[..., Any] = self.owner.execute
        self.sql(TABLES)
        self.sql(SQL("create role {} login password {}").format(Identifier(self.role), Literal("pw")))
        parts = conninfo_to_dict(url)
        url = dsn(f"{parts['host']}:{parts['port']}", str(parts["dbname"]), self.role, "pw")
        self.given: dict[str, Any] = {"source_dsn": url, "slot": self.slot, "models": ""}
        self.settings = Settings(**self.given)

    def found(self) -> list[Finding]:
        """What is wrong with the source; notes aside."""
        return [finding for finding in source(self.settings) if finding.severity != "note"]

    def mend(self) -> list[str]:
        """Paste every fix; gives what was found."""
        found = self.found()
        for finding in found:
            assert "does not answer" not in finding.what, finding
            self.sql(finding.fix)
        return [finding.what for finding in found]

    def close(self) -> None:
        self.sql(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s", [self.slot]
        )
        self.sql(SQL("drop owned by {}").format(Identifier(self.role)))
        self.sql(SQL("drop role {}").format(Identifier(self.role)))
        self.owner.close()


@pytest.fixture
def foreign(store_database: str) -> Iterator[Foreign]:
    foreign = Foreign(store_database)
    yield foreign
    foreign.close()


@pytest.fixture
def ready(foreign: Foreign) -> Foreign:
    foreign.mend()
    return foreign


def test_a_database_that_nothing_was_set_up_in_is_ready_once_the_fixes_are_pasted(foreign):
    limits = "max_slot_wal_keep_size"  # the server's owner is asked as well; not this test's server
    found = [what for what in foreign.mend() if limits not in what]
    assert found == [
        f"role {foreign.role} may not replicate",
        "there is no publication readside; its tables' owner makes it",
        f"role {foreign.role} may not read Sales Dept.Order Lines, public.machines, public.readings",
    ]
    assert foreign.found() == []


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (
            "alter publication readside set (publish = 'insert, update')",
            "leaves some of insert, update, delete, truncate",
        ),
        ("alter publication readside set (publish_via_partition_root = false)", "publishes its partitions one by one"),
        ("alter table machines replica identity nothing", "public.machines has replica identity nothing"),
        ("alter role {} createdb", "may create databases or roles"),
        ("grant update on machines to {}", "may write to public.machines; reading is enough"),
        ("revoke select on machines from {}", "may not read public.machines"),
        ("drop publication readside; create publication readside for table machines where (id > 5)", "row filter"),
    ],
)
def test_each_harm_is_found_and_its_fix_pasted_mends_it(ready, harm, what):
    ready.sql(SQL(harm).format(Identifier(ready.role)))
    assert what in ready.mend()[0]
    assert ready.found() == []


def test_the_right_to_pass_row_security_by_is_asked_for_where_a_published_table_has_it_and_nowhere_else(ready):
    def refused() -> list[Finding]:
        return carried(read_tables(ready.given["source_dsn"], ready.settings.publication))

    grant = SQL("alter role {} bypassrls").format(Identifier(ready.role))
    ready.sql(grant)
    assert ready.mend() == [f"role {ready.role} may bypass row security, which no published table has"]
    ready.sql("alter table machines enable row level security")
    [finding] = refused()
    assert f"alter role {ready.role} bypassrls" in finding.fix
    ready.sql(grant)
    assert (refused(), ready.found()) == ([], [])


def test_a_published_table_without_a_key_is_named(ready):
    ready.sql("alter publication readside add table keyless")
    ready.sql(SQL("grant select on keyless to {}").format(Identifier(ready.role)))
    [found] = ready.found()
    assert found.severity == "down" and "public.keyless has no primary key" in found.what


def test_a_slot_of_somebody_elses_and_one_that_nobody_reads_are_told_apart(ready):
    ready.sql("select pg_create_logical_replication_slot(%s, 'test_decoding')", [ready.slot])
    assert "is somebody else's" in ready.found()[0].what
    ready.sql("select pg_drop_replication_slot(%s)", [ready.slot])
    ready.sql("select pg_create_logical_replication_slot(%s, 'pgoutput')", [ready.slot])
    [found] = ready.found()
    assert found.severity == "degraded" and "nobody reads slot" in found.what


def test_what_is_down_is_a_finding_and_never_a_traceback(ready, tmp_path):
    nowhere = {"kafka": "127.0.0.1:1", "connect_url": "http://127.0.0.1:1", "analytics_address": "127.0.0.1:1"}
    gone = Settings(**ready.given | nowhere, data_dir=tmp_path, serving_dsn="postgresql://nobody:pw@127.0.0.1:1/none")
    down = {finding.part for finding in examine(gone) if finding.severity == "down"}
    assert {"kafka", "connect", "serving", "analytics"} <= down and "source" not in down
    unset = {finding.part for finding in examine(Settings(data_dir=tmp_path))}
    assert {"source", "serving"} <= unset


def test_a_stopped_connector_is_left_to_its_supervision_and_a_paused_one_is_let_go_on(tmp_path):
    with worker.answering() as connect:
        settings = Settings(data_dir=tmp_path, connect_url=connect.url)
        connect.answer("PUT", "config", {})
        fixes: dict[str, str] = {}
        for action in ("stop", "pause"):
            connect.answer("PUT", action, None)
            [found] = doctor_kafka.connect(settings, ())
            fixes[action] = found.fix
    assert fixes == {
        "stop": "readside status  # its supervision starts it again at its slot",
        "pause": f"curl -X PUT {settings.connect_url}/connectors/readside/resume",
    }


def test_the_command_prints_its_data_alone_on_standard_output_and_exits_as_it_found(ready, tmp_path):
    env = environment_of(Settings(**ready.given, data_dir=tmp_path, kafka="127.0.0.1:1"))
    for output in ("json", "table"):
        command = [sys.executable, "-m", "stack", "doctor", "--output", output]
        ran = subprocess.run(command, env=env | {"COLUMNS": "80"}, capture_output=True, text=True, timeout=30)
        assert ran.returncode == 2 and "Traceback" not in ran.stderr
        if output == "json":
            assert json.loads(ran.stdout)["state"] == "down"
        else:
            assert ran.stdout.startswith("source     ok\n")


def test_somebody_elses_database_is_mirrored_faithfully_without_any_declaration(ready):
    stacks = native_stack(**ready.given)
    stack = next(stacks)
    try:
        with psycopg.connect(stack.settings.serving_dsn.get_secret_value(), autocommit=True) as store:
            eventually(lambda: mirrored(ready, store), what="the snapshot is mirrored")
            ready.sql(CHANGES)
            eventually(lambda: mirrored(ready, store), what="the changes are mirrored")
        assert asked(stack.settings.data_dir, "status") == 0
        assert asked(stack.settings.data_dir, "doctor") == 0
    finally:
        stacks.close()


def mirrored(foreign: Foreign, store: psycopg.Connection[Any]) -> bool:
    def rows(connection: psycopg.Connection[Any], schema: str, table: str) -> list[Any]:
        return connection.execute(
            SQL("select t::text from {} t order by 1").format(Identifier(schema, table))
        ).fetchall()

    tables = (("public", "machines"), ("Sales Dept", "Order Lines"), ("public", "readings"))
    try:
        return all(rows(store, "mirror", table) == rows(foreign.owner, schema, table) for schema, table in tables)
    except psycopg.errors.UndefinedTable:
        return False


def asked(data_dir: Path, command: str) -> int:
    return subprocess.run(
        [sys.executable, "-m", "stack", command, "--data-dir", data_dir, "--output", "json"],
        capture_output=True,
        timeout=30,
    ).returncode
