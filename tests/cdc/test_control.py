"""The control topic of a running stack, as those who wait for a snapshot look at it."""

from __future__ import annotations

import json
import time
from contextlib import closing

import psycopg

from cdc import canary, control
from cdc.control import ControlTopic, read_control
from cdc.snapshots import source_dsn
from tests.acceptance.test_lost_history import is_read, new_user
from tests.backends import Stack
from tests.databases import eventually

LOOKS = 20


def test_looking_again_costs_next_to_nothing(stack: Stack) -> None:
    """Whoever waits looks several times a second, and would take the processor from the work that it waits for."""
    stack.wait_healthy()
    with closing(ControlTopic(stack.settings.kafka, stack.settings.topic_prefix)) as topic:
        told = topic.refresh()
        before = time.process_time()
        for _ in range(LOOKS):
            told = topic.refresh()
        cost_s = (time.process_time() - before) / LOOKS
    assert told == read_control(stack.settings.kafka, stack.settings.topic_prefix)
    assert told.latest is not None
    assert cost_s < 0.01, f"{1000 * cost_s:.0f} ms for a look"


def test_a_connection_that_was_not_used_for_long_is_made_anew(stack: Stack) -> None:
    stack.wait_healthy()
    with closing(ControlTopic(stack.settings.kafka, stack.settings.topic_prefix)) as topic:
        told = topic.refresh()
        first = topic._reader
        topic._asked_at -= control._KEPT_S + 1
        assert topic.refresh() == told
        assert topic._reader is not first


def test_a_connection_made_ahead_is_the_one_that_is_read_from(stack: Stack) -> None:
    stack.wait_healthy()
    with closing(ControlTopic(stack.settings.kafka, stack.settings.topic_prefix)) as topic:
        topic.connect()
        ahead = topic._reader
        told = topic.refresh()
        assert topic._reader is ahead
    assert told == read_control(stack.settings.kafka, stack.settings.topic_prefix)
    assert told.latest is not None


def test_a_canary_that_somebody_else_sent_stops_nothing(stack: Stack) -> None:
    stack.wait_healthy()
    assert read_control(stack.settings.kafka, stack.settings.topic_prefix).supervisions
    with psycopg.connect(source_dsn(stack.settings), autocommit=True) as source:
        for number in (7, 99):
            forged = {"prefix": canary.PREFIX, "content": json.dumps({"life": "forged", "number": number})}
            source.execute("select pg_logical_emit_message(true, %(prefix)s, %(content)s)", forged)
    user = new_user(stack)
    eventually(lambda: is_read(stack, user), what=lambda: "the user that was made after it")
    stack.wait_healthy()
