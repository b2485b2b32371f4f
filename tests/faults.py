"""Faults, one by one: how each is brought about, what must be named as its cause, and what leads out of it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import httpx
import psycopg
from kafka import KafkaProducer
from kafka.structs import TopicPartition

from cdc.topics import admin
from config.environment import environment_of
from queries.health import collect
from stack.plan import NAMES
from stack.process import stop
from tests.backends import ROOT
from tests.breakable import Breakable
from tests.databases import eventually
from tests.shell import typed

#: What a state is, and why each part that is not well is not: "name: why".
Look = tuple[str, list[str]]


def look(stack: Breakable) -> Look:
    """What ``readside status`` shows."""
    health = collect(stack.settings)
    return health.state, [f"{part.name}: {part.why}" for part in (*health.components, *health.hops) if part.why]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong."""

    name: str
    inject: Callable[[Breakable], None]
    #: What some part's "name: why" must match.
    cause: str
    #: The start of the command that the cause names and that leads out; empty where it goes on by itself.
    remedy: str = ""
    #: What has to be done that is no command named there, and how it is told of in the results.
    undo: Callable[[Breakable], None] = lambda _stack: None
    undone: str = "nothing: it goes on by itself"
    #: Where the fault shows.
    look: Callable[[Breakable], Look] = look
    #: Whether it takes a disk that can be filled.
    fills: str = ""


def killed(name: str) -> Fault:
    """SIGKILL; the supervisor starts the process again."""
    return Fault(
        name=f"{name} killed",
        inject=lambda stack: os.kill(stack.pid(name), signal.SIGKILL),
        cause=rf"^{name}: (is not running|ended and is started again)",
        undone="nothing: the supervisor starts it again",
    )


def paused(name: str) -> Fault:
    """SIGSTOP of the process and all that it has started."""
    return Fault(
        name=f"{name} paused",
        inject=lambda stack: stack.pause(name),
        cause=rf"^{name}: its process is stopped and does nothing",
        remedy="kill -CONT ",
    )


def slot_dropped(stack: Breakable) -> None:
    """By somebody who found it in the way, while the connector read it."""
    slot = stack.settings.slot
    deadline = time.monotonic() + 10
    while True:
        stack.sql(
            "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = %(slot)s", slot=slot
        )
        try:
            stack.sql("select pg_drop_replication_slot(%(slot)s)", slot=slot)
        except psycopg.errors.ObjectInUse:  # its reader was back sooner
            assert time.monotonic() < deadline, "its reader is always back sooner"
        else:
            return


def role_without_replication(stack: Breakable) -> None:
    """The connector's role loses a right, and its connection."""
    stack.sql("alter role readside_cdc noreplication")
    stack.sql(
        "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = %(slot)s",
        slot=stack.settings.slot,
    )


def replication_given(stack: Breakable) -> None:
    """What ``readside doctor`` says, pasted."""
    asked = typed(stack, "readside doctor --output json || true")
    fixes = [finding["fix"] for finding in json.loads(asked)["findings"] if "may not replicate" in finding["what"]]
    assert len(fixes) == 1, asked
    stack.sql(fixes[0])


def connector_paused(stack: Breakable) -> None:
    """Somebody told it to be."""
    httpx.put(f"{stack.settings.connect_url}/connectors/{stack.settings.connector}/pause").raise_for_status()


def poisoned(table: str, stack: Breakable) -> None:
    """A record that is no change, in the table's topic."""
    producer = KafkaProducer(bootstrap_servers=stack.settings.kafka.split(","))
    try:
        topic = f"{stack.settings.topic_prefix}.public.{table}"
        producer.send(topic, key=b'{"id":1000000}', value=json.dumps({"name": "nobody"}).encode()).get(10)
    finally:
        producer.close()


def disk_full(store: str, stack: Breakable) -> None:
    """No room for more, and then more."""
    stack.disks[store].fill()
    stack.sql(
        """
        insert into users (email, first_name, last_name, display_name)
        select %(some)s || i || '@example.com', 'Ada', 'Byron', 'Ada Byron' from generate_series(1, 3000) i
        """,
        some=secrets.token_hex(6),
    )


def disk_freed(store: str, stack: Breakable) -> None:
    """Somebody makes room."""
    stack.disks[store].free()


def retention(stack: Breakable) -> None:
    """Kafka lets go of what the serving store has not read, as its projector was away."""
    topic = f"{stack.settings.topic_prefix}.public.users"
    stack.pause("projector-serving")
    for _ in range(20):
        new_user(stack)
    with cast("Any", admin(stack.settings.kafka)) as client:
        partitions = {TopicPartition(topic, number): -1 for number in range(stack.settings.topic_partitions)}
        eventually(lambda: _in_kafka(client, partitions) >= 20, what="they are in Kafka")
        ends = client.list_partition_offsets(partitions)
        client.delete_records({partition: found.offset for partition, found in ends.items()})
    stack.resume("projector-serving")


def _in_kafka(client: Any, partitions: dict[TopicPartition, int]) -> int:
    return sum(found.offset for found in client.list_partition_offsets(partitions).values())


def clock_off(stack: Breakable) -> None:
    """Another query server, on a machine whose clock is a day ahead."""
    code = (
        "import time, time_machine\n"
        "from queries.__main__ import main\n"
        "with time_machine.travel(time.time() + 86_400, tick=True):\n"
        "    main()\n"
    )
    query_server(stack, code)


def query_server(stack: Breakable, code: str) -> None:
    """A query server of the test's own, in the place of the one before it."""
    for former in stack.others:
        stop(former)
    stack.others.clear()
    settings = stack.settings.model_copy(update={"queries_address": stack.aside})
    log = (stack.settings.data_dir / "logs" / "queries-aside.log").open("ab")
    with log:
        stack.others.append(
            subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment_of(settings), stderr=log)
        )


def look_aside(stack: Breakable) -> Look:
    """What that query server shows; well, as long as it is not there."""
    try:
        health = httpx.get(f"http://{stack.aside}/health", timeout=3).json()
    except httpx.TransportError:
        return "unknown", []
    parts = (*health["components"], *health["hops"])
    return health["state"], [f"{part['name']}: {part['why']}" for part in parts if part["why"]]


def clock_set(stack: Breakable) -> None:
    """The machine's clock is right again, and the server says that all is well."""
    query_server(stack, "from queries.__main__ import main; main()")
    eventually(lambda: look_aside(stack)[0] == "ok", what=lambda: f"it is well: {look_aside(stack)}", deadline_s=30)


FAULTS: Sequence[Fault] = (
    *(killed(name) for name in NAMES),
    *(paused(name) for name in NAMES),
    Fault(
        name="slot dropped",
        inject=slot_dropped,
        cause=r"slot .*(does not exist|is gone|made anew)",
        remedy="python -m cdc snapshot",
    ),
    Fault(
        name="connector failed",
        inject=role_without_replication,
        cause=r"^transport: .*its task FAILED.*`readside doctor`",
        undo=replication_given,
        undone="the SQL that `readside doctor` gives",
    ),
    Fault(
        name="connector paused",
        inject=connector_paused,
        cause=r"^transport: the connector is PAUSED",
        remedy="curl -X PUT ",
    ),
    Fault(
        name="poison record, the store stops",
        inject=partial(poisoned, "users"),
        cause=r"^projector-serving: shop\.public\.users\[\d\]@\d+: .*the store stops here",
        remedy="python -m cdc snapshot",
    ),
    Fault(
        name="poison record, parked",
        inject=partial(poisoned, "sellers"),
        cause=r"^serving: 1 changes are parked",
        remedy="readside dead-letters drop",
    ),
    Fault(
        name="disk full of the serving store",
        inject=partial(disk_full, "serving"),
        cause=r"^serving: .*its disk is full",
        undo=partial(disk_freed, "serving"),
        undone="some space freed",
        fills="serving",
    ),
    Fault(
        name="disk full of the analytics store",
        inject=partial(disk_full, "analytics"),
        cause=r"^projector-analytics: .*its disk is full",
        undo=partial(disk_freed, "analytics"),
        undone="some space freed",
        fills="analytics",
    ),
    Fault(
        name="broker unreachable",
        inject=lambda stack: stack.network.cut(),
        cause=r"^kafka: does not answer .*though its process runs",
        undo=lambda stack: stack.network.mend(),
        undone="the network mended",
    ),
    Fault(
        name="retention loss",
        inject=retention,
        cause=r"^projector-serving: .*retention took records",
        remedy="python -m cdc snapshot",
    ),
    Fault(
        name="clock off by a day",
        inject=clock_off,
        cause=r"^capture: clocks differ: the source's is 86,[34]\d\d s behind",
        undo=clock_set,
        undone="the clock set right",
        look=look_aside,
    ),
)
#: Those that are always tried: of each way out one.
SOME = ("projector-serving paused", "slot dropped", "connector failed", "poison record, parked")


def new_user(stack: Breakable, key: str = "") -> str:
    """Write one; the same key is the same user, however often it is asked for."""
    body = {"email": f"{key or secrets.token_hex(6)}@example.com", "first_name": "Ada", "last_name": "Byron"}
    headers = {"Idempotency-Key": key} if key else {}
    answer = httpx.post(f"http://{stack.settings.writer_address}/users", json=body, headers=headers, timeout=3)
    return str(answer.raise_for_status().json()["id"])


def is_read(stack: Breakable, user: str) -> bool:
    """Whether the query server answers for it."""
    return httpx.get(f"http://{stack.settings.queries_address}/users/{user}", timeout=10).status_code == 200
