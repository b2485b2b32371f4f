"""What is told of why a task failed: enough to act on, and never a row's value."""

from __future__ import annotations

import pytest

from cdc.causes import told
from cdc.connect import Connect
from tests.worker import answering

PSQL = "org.postgresql.util.PSQLException"
CONNECT = "org.apache.kafka.connect.errors.ConnectException"
DEBEZIUM = "io.debezium.DebeziumException"
STOPPED = f"{CONNECT}: An exception occurred in the change event producer. This connector will be stopped."


def trace(*causes: str) -> str:
    """As a worker's status tells it: each with where it came from."""
    return "\nCaused by: ".join(f"{cause}\n\tat io.debezium.Where.it(Where.java:1)\n\t... 9 more" for cause in causes)


@pytest.mark.parametrize(
    "cause",
    [
        f'{PSQL}: FATAL: password authentication failed for user "readside_cdc"',
        f"{PSQL}: FATAL: terminating connection due to administrator command",
        f"{PSQL}: FATAL: must be superuser or replication role to start walsender",
        f'{PSQL}: ERROR: replication slot "readside" is active for PID 4711',
        f'{PSQL}: ERROR: can no longer get changes from replication slot "readside"',
        f'{PSQL}: ERROR: publication "readside" does not exist',
        f"{PSQL}: ERROR: permission denied for table orders",
        f'{PSQL}: ERROR: column "weight" does not exist',
        f'{PSQL}: ERROR: query would be affected by row-level security policy for table "orders"',
        f"{PSQL}: Connection to 127.0.0.1:5432 refused. Check that the hostname and port are correct.",
        f"{PSQL}: Database connection failed when writing to copy",
        "java.net.UnknownHostException: source.example",
        "java.nio.channels.ClosedChannelException",
        "java.io.EOFException",
        "java.io.IOException: Broken pipe",
        "org.apache.kafka.common.errors.RecordTooLargeException: The message is 2000 bytes when serialized",
        f"{DEBEZIUM}: Failed to start replication stream at LSN{{0/1A2B}}; when setting up multiple connectors",
        f"{CONNECT}: Error while processing event at offset {{lsn_proc=42, txId=7}}",
        f"{DEBEZIUM}: {PSQL}: FATAL: terminating connection",
        STOPPED,
    ],
)
def test_a_cause_that_holds_no_value_is_told_as_it_is(cause):
    assert told(trace(STOPPED, cause)) == cause


@pytest.mark.parametrize(
    ("cause", "is_told"),
    [
        ('java.lang.NumberFormatException: For input string: "SECRET"', "java.lang.NumberFormatException: …"),
        (f'{PSQL}: ERROR: invalid input syntax for type integer: "SECRET"', f"{PSQL}: ERROR: invalid input syntax …"),
        (f"{PSQL}: ERROR: no discount for SECRET", f"{PSQL}: …"),
        (f"{PSQL}: Bad value for type int : SECRET", f"{PSQL}: …"),
        (f"{DEBEZIUM}: {PSQL}: Bad value for type int : SECRET", f"{DEBEZIUM}: {PSQL}: …"),
        (f'{CONNECT}: java.lang.NumberFormatException: "SECRET"', f"{CONNECT}: java.lang.NumberFormatException: …"),
        (f"{CONNECT}: Failed to parse money value: SECRET", f"{CONNECT}: …"),
        (f"{CONNECT}: Failed to find row in table t with key SECRET", f"{CONNECT}: …"),
        (
            f"{DEBEZIUM}: Could not execute heartbeat action query (Error: SECRET)",
            f"{DEBEZIUM}: Could not execute heartbeat action query …",
        ),
        (
            "org.apache.kafka.common.errors.SerializationException: cannot write SECRET",
            "org.apache.kafka.common.errors.SerializationException: …",
        ),
        ("java.io.IOException: Illegal UTF-8 sequence: SECRET", "java.io.IOException: …"),
        (
            "org.apache.kafka.connect.errors.DataException: Invalid value SECRET",
            "org.apache.kafka.connect.errors.DataException: …",
        ),
        ("SECRET", "…"),
    ],
)
def test_a_text_that_may_hold_a_value_is_cut_and_its_class_is_told(cause, is_told):
    assert told(trace(STOPPED, cause)) == is_told
    assert told(trace(cause)) == is_told


def test_a_value_of_several_lines_does_not_pass_for_a_cause():
    value = f"SECRET\nCaused by: {DEBEZIUM}: Failed to start replication stream at SECRET"
    assert "SECRET" not in told(trace(STOPPED, f'java.lang.NumberFormatException: For input string: "{value}"'))


def test_a_status_tells_no_value():
    with answering() as worker:
        worker.answer("PUT", "config", {})
        worker.fail(trace(STOPPED, 'java.lang.NumberFormatException: For input string: "SECRET"'))
        connect = Connect(worker.url, "readside")
        try:
            status = connect.status()
        finally:
            connect.close()
    assert status is not None
    assert status.cause == "java.lang.NumberFormatException: …"
