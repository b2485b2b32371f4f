"""A projector that reads on after something happened to its topics: it stops with the cause, or nothing is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain, repeat

import msgspec
import pytest

from cdc.catalog import message_topic, transaction_topic
from cdc.continuity import Held
from cdc.control import Snapshot
from cdc.errors import HistoryLost, SourceChanged, Transient
from projectors import overdue
from tests.cdc.test_canary import record
from tests.laws import assert_mirror_equals_source
from tests.scripted import PREFIX, ScriptedReader


def user(number: int) -> str:
    return f"""insert into users (id, email, first_name, last_name, display_name)
               values ({number}, '{number}@example.com', 'A', 'B', 'C')"""


def test_a_topic_made_anew_is_noticed_though_it_is_longer_than_before(serving):
    serving.commit(user(1))
    serving.project().close()
    serving.log.topic_ids[f"{PREFIX}.public.users"] = "another"
    for number in range(2, 9):
        serving.commit(user(number))
    with pytest.raises(SourceChanged, match="was deleted and made anew"):
        serving.project()


def test_partitions_added_to_a_topic_change_nothing_but_where_keys_go(serving, store_database):
    for number in range(1, 9):
        serving.commit(user(number))
    serving.project().close()
    topic = f"{PREFIX}.public.users"
    for number in (4, 5, 6):
        serving.log.partitions[topic, number] = []
    for number in range(1, 9):
        serving.commit(f"update users set last_name = 'M' where id = {number}", user(number + 10))
        serving.commit(f"update users set last_name = 'N' where id = {number}")
    serving.commit("delete from users where id = 3")
    serving.project().close()
    assert all(serving.log.partitions[topic, number] for number in (4, 5, 6)), "keys moved to every new partition"
    assert_mirror_equals_source(serving, store_database)


def test_a_partition_that_is_gone_is_history_lost(serving):
    for number in range(1, 9):
        serving.commit(user(number))
    serving.project().close()
    del serving.log.partitions[f"{PREFIX}.public.users", 1]
    with pytest.raises(HistoryLost, match=r"no partitions shop.public.users\[1\] any more"):
        serving.project()


def test_a_missing_canary_stops_the_store_and_its_restart(serving):
    serving.log.append(message_topic(PREFIX), None, record("a", 0), [])
    serving.commit(user(1))
    serving.project().close()
    serving.log.append(message_topic(PREFIX), None, record("a", 2), [])
    for _ in range(2):
        with pytest.raises(HistoryLost, match="canary 1 never did"):
            serving.project()


def test_a_transaction_lost_by_kafka_stops_the_store_before_it_is_wrong(serving, store_rows):
    serving.commit(user(1))
    with serving.source.connection.transaction():
        serving.sql(user(2))
    serving.source.flush()  # and it never reached Kafka
    serving.commit("update users set last_name = 'Late'")
    with pytest.raises(HistoryLost, match="Kafka lost what lies between"):
        serving.project()
    assert store_rows("select last_name from mirror.users") in ([], [("B",)])


@pytest.mark.parametrize("with_later", [False, True])
def test_rows_alone_that_are_lost_are_noticed_once_every_partition_of_their_table_is_read_past_them(
    serving, store_rows, with_later, monkeypatch
):
    monkeypatch.setattr(overdue, "_AFTER_S", 0.0)
    serving.commit(*map(user, range(1, 9)))
    serving.project().close()
    ends = {partition: len(records) for partition, records in serving.log.partitions.items()}
    serving.commit(*(f"update users set last_name = 'L' where id = {number}" for number in range(1, 9)))
    users = [partition for partition in ends if partition[0] == f"{PREFIX}.public.users"]
    lost = next(each for each in users if len(serving.log.partitions[each]) > ends[each])
    del serving.log.partitions[lost][ends[lost] :]
    later = [number for number in range(1, 9) if with_later or partition_of(serving, number) != lost]
    serving.commit(*(f"update users set last_name = 'M' where id = {number}" for number in later))
    if with_later:
        with pytest.raises(HistoryLost, match=r"lacks rows of public.users, and later ones .* were read"):
            serving.project()
    else:
        serving.project().close()  # they may be to come
    assert store_rows("select distinct last_name from mirror.users") == [("B",)]


def test_a_partition_that_the_reader_does_not_know_yet_is_waited_for(serving, store_database, monkeypatch):
    monkeypatch.setattr(overdue, "_AFTER_S", 0.0)
    serving.commit(*map(user, range(1, 9)))
    topic, added = f"{PREFIX}.public.users", []

    def choose(unread):
        if not added:  # the reader was assigned those before
            added.append((topic, 4))
            serving.log.partitions[topic, 4] = []
            for name in "LM":
                serving.commit(*(f"update users set last_name = '{name}' where id = {n}" for n in range(1, 9)))
            assert serving.log.partitions[topic, 4]
        return unread[0], 1000

    serving.project(choose).close()
    serving.project().close()
    assert_mirror_equals_source(serving, store_database)


def partition_of(pipeline, number):
    key = json.dumps({"id": number}).encode()
    return f"{PREFIX}.public.users", sum(key) % 4


def test_an_end_alone_that_is_lost_is_noticed_too(serving):
    serving.commit(user(1))
    serving.commit(user(2))
    lost = serving.log.partitions[transaction_topic(PREFIX), 0]
    ends = [place for place, each in enumerate(lost) if json.loads(each.value)["status"] == "END"]
    lost[ends[1]] = msgspec.structs.replace(lost[ends[1]], value=None)
    serving.commit(user(3))
    with pytest.raises(HistoryLost, match="Kafka lost what lies between"):
        serving.project()


def test_a_new_snapshot_leads_out_of_lost_history(serving, store_database):
    serving.log.append(message_topic(PREFIX), None, record("a", 0), [])
    serving.commit(user(1))
    serving.project().close()
    serving.miss(user(2), "delete from users where id = 1")
    serving.log.append(message_topic(PREFIX), None, record("a", 3), [])
    with pytest.raises(HistoryLost):
        serving.project()
    serving.snapshots.take()
    serving.log.append(message_topic(PREFIX), None, record("a", 5), [])
    serving.commit(user(3))
    serving.project_until_done()
    assert_mirror_equals_source(serving, store_database)


def test_canaries_lost_to_a_new_snapshot_are_no_hole_though_they_are_read_before_its_barrier(serving, store_database):
    serving.log.append(message_topic(PREFIX), None, record("a", 0), [])
    serving.commit(user(1))
    serving.project().close()
    serving.snapshots.begin()
    begun = serving.snapshots.control
    serving.snapshots.write()
    serving.log.append(message_topic(PREFIX), None, record("a", 7), [])
    serving.snapshots.note()
    said = chain([begun, begun], repeat(serving.snapshots.control))
    canaries = (message_topic(PREFIX), 0)
    with pytest.raises(Transient, match="a newer snapshot lies in Kafka"):
        serving.project(lambda unread: (max(unread, key=canaries.__eq__), 1), control=lambda: next(said))
    serving.commit(user(2))
    serving.project_until_done()
    assert_mirror_equals_source(serving, store_database)


def test_a_topic_made_anew_is_led_out_of_by_a_new_snapshot(serving, store_database):
    serving.commit(user(1))
    serving.project().close()
    topic = f"{PREFIX}.public.users"
    serving.log.topic_ids[topic] = "another"
    for partition in [each for each in serving.log.partitions if each[0] == topic]:
        serving.log.partitions[partition].clear()
    serving.miss(user(2))
    with pytest.raises(SourceChanged):
        serving.project()
    serving.snapshots.take()
    serving.project_until_done()
    assert_mirror_equals_source(serving, store_database)


def message(content: bytes) -> bytes:
    """A logical message with the canaries' prefix, as Debezium writes it."""
    said = json.loads(record("", 0))
    said["message"]["content"] = content.hex()
    return json.dumps(said).encode()


class RecordsAsTheyLie(ScriptedReader):
    """Without what a reading process makes of them."""

    def poll(self, timeout_s, most_records):
        self._across = True
        return super().poll(timeout_s, most_records)


def test_rows_that_came_without_their_end_tell_how_far_the_slot_was_read(serving):
    """A connector that is killed after its slot was confirmed at a row: nothing is lost, and nobody may say so."""
    serving.commit(user(1))
    with serving.source.connection.transaction():
        serving.sql(user(2))
    [torn] = serving.source.flush()
    serving.log.send(torn, rows=1)
    reader = RecordsAsTheyLie(serving.log, lambda unread: (unread[0], 1000))
    held = Held(reader, PREFIX, serving.log.topics, Snapshot(1, "shop", "slot", {}, {}))
    assert json.loads(torn.rows[0][2])["source"]["lsn"] in held.last_sent()
    assert held.last_end() < torn.end_lsn


def test_a_canary_of_no_supervision_is_passed_over(serving, store_database):
    """It looks like one, and whoever may connect to the source may send it; only readside notes its own in Kafka."""
    for life, number in (("a", 0), ("forged", 7), ("a", 1), ("forged", 99)):
        serving.log.append(message_topic(PREFIX), None, record(life, number), [])
    serving.commit(user(1))
    control = replace(serving.snapshots.control, supervisions=("a",))
    serving.project(control=lambda: control).close()
    assert_mirror_equals_source(serving, store_database)
    serving.log.append(message_topic(PREFIX), None, record("a", 3), [])
    with pytest.raises(HistoryLost, match="canary 2 never did"):
        serving.project(control=lambda: control)


def test_a_message_under_the_canaries_name_that_is_none_is_passed_over(serving, store_database):
    """Whoever may connect to the source may send one; it stopped every projector, and a new snapshot led to it again."""
    serving.log.append(message_topic(PREFIX), None, record("a", 0), [])
    serving.commit(user(1))
    for odd in (b"x", b'{"life":1}', b"[" * 2_000):
        serving.log.append(message_topic(PREFIX), None, message(odd), [])
    serving.log.append(message_topic(PREFIX), None, json.dumps({"message": {"prefix": "p", "content": "?"}, "source": {
        "schema": "", "table": ""}}).encode(), [])  # fmt: skip
    serving.commit(user(2))
    serving.log.append(message_topic(PREFIX), None, record("a", 1), [])
    serving.project().close()
    assert_mirror_equals_source(serving, store_database)
