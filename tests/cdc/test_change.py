"""The envelope: both forms of JsonConverter, every operation, and everything else refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cdc.change import decode_change, decode_end
from cdc.errors import Poison
from cdc.unavailable import PLACEHOLDER

KEY = b'{"id":1}'
SOURCE = {
    "schema": "public",
    "table": "a",
    "lsn": 7,
    "txId": 3,
    "ts_us": 9,
    "sequence": '["5","7"]',
    "new_in_3.9": True,
}
CAPTURES = Path(__file__).parents[1] / "fixtures" / "debezium" / "defaults.jsonl"


def envelope(op: str = "c", after: Any = None, **changed: Any) -> bytes:
    fields = {"before": None, "after": after or {"id": 1}, "source": SOURCE, "op": op, "ts_ms": 1, "new": {"field": 1}}
    return json.dumps(fields | {"transaction": {"id": "3:7", "total_order": 2, "more": 1}} | changed).encode()


def with_schema(payload: bytes) -> bytes:
    return b'{"schema":{"type":"struct","fields":[]},"payload":' + payload + b"}"


def after(op: str, image: dict[str, Any], headers: list[tuple[str, bytes]] | None = None) -> Any:
    change = decode_change(envelope(op, image), KEY, headers or [])
    assert change is not None and change.row is not None
    return json.loads(change.row), change.partial


@pytest.mark.parametrize("op", ["r", "c", "u", "d", "t"])
def test_a_change_is_the_same_with_and_without_schemas(op):
    plain = decode_change(envelope(op), KEY, [("__debezium.oldkey", b'{"id":0}')])
    wrapped = decode_change(
        with_schema(envelope(op)), with_schema(KEY), [("__debezium.oldkey", with_schema(b'{"id":0}')), ("other", b"1")]
    )
    assert plain == wrapped
    assert plain is not None
    assert (plain.table, plain.op, plain.key, plain.order, plain.previous_end) == ("public.a", op, KEY, 2, 5)
    assert plain.old_key == (b'{"id":0}' if op == "c" else None)
    assert (plain.row is None) == (op in ("d", "t"))


def test_logical_messages_are_no_changes():
    assert decode_change(envelope("m", message={"prefix": "p", "content": ""}), None, []) is None


def test_begin_is_no_end_and_an_end_counts_its_tables():
    told = {
        "status": "END",
        "id": "3:9",
        "ts_ms": 4,
        "data_collections": [{"data_collection": "public.a", "event_count": 2}],
    }
    end = decode_end(json.dumps(told | {"event_count": 2}).encode())
    assert end is not None
    assert (end.xid, end.end_lsn, end.counts, end.committed_us) == (3, 9, {"public.a": 2}, 4000)
    assert decode_end(json.dumps(told | {"status": "BEGIN", "data_collections": None}).encode()) is None


@pytest.mark.parametrize(
    "value",
    [
        PLACEHOLDER,
        [PLACEHOLDER],
        list(PLACEHOLDER.encode()),
        ["7446e056-38c3-3142-a64b-4e331655d120"],
        json.dumps({PLACEHOLDER: PLACEHOLDER}, separators=(",", ":")),
    ],
)
def test_a_value_that_was_not_sent_again_is_left_out_of_updates_and_of_moved_rows(value):
    compact = json.loads(json.dumps({"id": 1, "v": value}))
    moved = [("__debezium.oldkey", b'{"id":0}')]
    for op, headers in (("u", None), ("c", moved)):
        change = decode_change(envelope(op, compact).replace(b", ", b","), KEY, headers or [])
        assert change is not None
        assert (change.row, change.partial) == (b'{"id":1}', True)


@pytest.mark.parametrize("value", [f"{PLACEHOLDER} ", PLACEHOLDER[1:], [PLACEHOLDER, "b"], json.dumps(PLACEHOLDER)])
def test_a_value_that_only_looks_like_the_placeholder_is_kept(value):
    assert after("u", {"id": 1, "v": value}) == ({"id": 1, "v": value}, False)


def test_an_inserted_row_is_whole_whatever_it_says():
    image = {"id": 1, "v": list(PLACEHOLDER.encode())}
    assert after("c", image) == (image, False)


@pytest.mark.parametrize(
    "lost", [[None], [None, None], ["[Ljava.lang.String;@3597ec4c", "[Ljava.lang.String;@66482fea"]]
)
def test_an_array_whose_values_debezium_lost_is_refused_by_its_columns_name(lost):
    with pytest.raises(Poison, match=r"column tags of public\.a holds an array whose values Debezium lost"):
        after("r", {"id": 1, "tags": lost})


@pytest.mark.parametrize("kept", [[None, 1], [], "[null]", '["[L', ["[Later]"], '{"a":[null]}'])
def test_other_arrays_and_texts_are_kept(kept):
    assert after("u", {"id": 1, "tags": kept, "more": "[null"})[0]["tags"] == kept


@pytest.mark.parametrize(
    ("value", "key", "why"),
    [
        (b"", KEY, "not a Debezium change envelope"),
        (b"null", KEY, "not a Debezium change envelope"),
        (b"[1]", KEY, "not a Debezium change envelope"),
        (b"{", KEY, "not a Debezium change envelope"),
        (b"\xff\xfe", KEY, "not a Debezium change envelope"),
        (b'{"id":1,"name":"a flattened row"}', KEY, "not a Debezium change envelope"),
        (with_schema(b"null"), KEY, "not a Debezium change envelope"),
        (b'{"schema":{}', KEY, "not a Debezium change envelope"),
        (b'{"schema":{}}', KEY, "not a Debezium change envelope"),
        (envelope(source={"table": "a"}), KEY, "not a Debezium change envelope"),
        (envelope(source=SOURCE | {"lsn": "7"}), KEY, "not a Debezium change envelope"),
        (envelope(source=SOURCE | {"sequence": "x"}), KEY, "not a Debezium change envelope"),
        (envelope(op="x"), KEY, "unknown operation 'x' on public.a"),
        (envelope(op=""), KEY, "unknown operation '' on public.a"),
        (envelope(transaction=None), KEY, "carries no transaction"),
        (envelope(source=SOURCE | {"txId": None}), KEY, "carries no transaction"),
        (envelope(), None, "public.a has no key"),
        (envelope(), b"{", "key of public.a is no JSON object"),
        (envelope(), b"1", "key of public.a is no JSON object"),
        (envelope(after=[1]), KEY, "has no after image"),
        (envelope("c", after=None).replace(b'"after": {"id": 1}', b'"after": null'), KEY, "has no after image"),
    ],
)
def test_anything_else_is_refused_by_name(value, key, why):
    with pytest.raises(Poison, match=why) as refused:
        decode_change(value, key, [])
    assert "flattened" not in str(refused.value), "errors hold no values"


def test_a_header_that_is_no_key_is_refused():
    with pytest.raises(Poison, match="header __debezium"):
        decode_change(envelope(), KEY, [("__debezium.oldkey", b"Struct{id=0}")])


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b'{"status":"DONE","id":"3:9","ts_ms":4}',
        b'{"status":"END","id":"x","ts_ms":4}',
        b'{"status":"END","id":"3","ts_ms":4}',
    ],
)
def test_a_boundary_of_another_form_is_refused(value):
    with pytest.raises(Poison, match="transaction"):
        decode_end(value)


def test_every_record_that_debezium_really_sent_is_understood():
    seen: set[str] = set()
    for line in CAPTURES.read_text().splitlines():
        record = json.loads(line)
        key, value = (None if record[part] is None else record[part].encode() for part in ("key", "value"))
        headers = [(name, told.encode()) for name, told in record["headers"].items()]
        if value is None:
            seen.add("tombstone")
        elif record["topic"].endswith(".transaction"):
            seen.add("END" if decode_end(value) else "BEGIN")
        elif not record["topic"].startswith("__debezium-heartbeat") and not record["topic"].endswith(".nopk"):
            change = decode_change(value, key, headers)
            seen.add(change.op if change else "m")
    assert seen == {"tombstone", "BEGIN", "END", "r", "c", "u", "d", "t", "m"}
