"""A result in a file: its format by its ending, and there whole or not at all."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.settings import Settings
from stack.errors import StackError
from stack.sql.asking import Encoded, Store, store_of
from stack.sql.files import Target, rows_of_csv, write

STATEMENT = "select id, total, note, placed_at from orders order by id"


@pytest.fixture
def store(server: Settings) -> Iterator[Store]:
    with store_of(server) as asked:
        yield asked


def test_csv_keeps_null_and_empty_apart_and_times_exact(store: Store, tmp_path: Path) -> None:
    written = write(store, STATEMENT, Target(path=tmp_path / "a.csv"))
    assert written.path.read_bytes().decode().split("\r\n")[:3] == [
        "id,total,note,placed_at",
        '1,10.10,"",2026-01-01T23:30:00Z',
        "2,1099.00,,2026-01-02T00:00:00.500000Z",
    ]
    assert (written.rows, written.size_bytes) == (3, written.path.stat().st_size)  # one value has two lines


def test_json_is_read_by_duckdb_as_what_was_asked(store: Store, tmp_path: Path) -> None:
    for name in ("a.json", "b.ndjson"):
        written = write(store, STATEMENT, Target(path=tmp_path / name))
        with duckdb.connect() as database:
            assert database.execute(f"select id, total, note from '{written.path}'").fetchall() == [
                (1, "10.10", ""),
                (2, "1099.00", None),
                (12, "0.05", "two\nlines"),
            ]
    assert len((tmp_path / "b.ndjson").read_text().splitlines()) == 3
    assert json.loads((tmp_path / "a.json").read_text())[1]["note"] is None


def test_no_rows_are_a_file_too(store: Store, tmp_path: Path) -> None:
    for name, content in (("a.csv", "id\r\n"), ("a.json", "[]\n"), ("a.ndjson", "")):
        assert write(store, "select id from orders where false", Target(path=tmp_path / name)).rows == 0
        assert (tmp_path / name).read_bytes().decode() == content


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.ndjson"])
def test_a_file_that_exists_is_left_alone_unless_asked(store: Store, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("mine")
    with pytest.raises(StackError, match=r"exists and is left as it is.*--force"):
        write(store, "select 1 as a", Target(path=path))
    with pytest.raises(StackError, match="nope"):
        write(store, "select nope from orders", Target(path=path, force=True))
    assert path.read_text() == "mine"
    write(store, "select 1 as a", Target(path=path, force=True))
    assert "1" in path.read_text()


def test_a_file_that_comes_while_it_is_asked_is_left_alone(server: Settings, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"

    class Late(Store):
        def encoded(self, statement: str, media_type: str) -> Encoded:
            path.write_text("theirs")
            return super().encoded(statement, media_type)

    with closing(Late(server)) as late, pytest.raises(StackError, match="exists"):
        write(late, "select 1", Target(path=path))
    assert path.read_text() == "theirs"
    assert {each.name for each in tmp_path.iterdir() if each.name.startswith(".")} == set()


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.ndjson"])
def test_an_answer_that_was_cut_off_is_no_file_unless_asked(store: Store, tmp_path: Path, name: str) -> None:
    with pytest.raises(StackError, match=r"cut off after 1000 rows.*--allow-truncated"):
        write(store, "from range(2000)", Target(path=tmp_path / name))
    assert not (tmp_path / name).exists()
    written = write(store, "from range(2000)", Target(path=tmp_path / name, allow_truncated=True))
    assert (written.truncated, written.rows) == (True, 1000)


def test_what_cannot_be_written_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "d.csv").mkdir()
    for name, said in (
        ("a.xlsx", r"one of \.parquet, \.csv, \.json, \.ndjson"),
        ("a", "the ending"),
        ("nowhere/a.csv", "is no directory"),
        ("d.csv", "is a directory"),
    ):
        with pytest.raises(StackError, match=said):
            Target(path=tmp_path / name).check()


def test_two_columns_of_one_name_are_refused_where_one_would_be_lost(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="two columns are named a"):
        write(store, "select 1 as a, 2 as a", Target(path=tmp_path / "a.json"))
    assert not (tmp_path / "a.json").exists()


# Parquet is made of the Arrow stream. Until the query server answers one, this stands in for it, for that alone.

ARROW = pa.table(
    {
        "total": pa.array([Decimal("10.10"), None], pa.decimal128(12, 2)),
        "placed_at": pa.array([1_500_000, 2], pa.timestamp("us", tz="UTC")),
    }
)


class ArrowEndpoint(BaseHTTPRequestHandler):
    """`POST /sql` with `Accept: application/vnd.apache.arrow.stream`; the statement is which table to answer."""

    def do_POST(self) -> None:
        statement = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["sql"]
        content = io.BytesIO()
        answered = ARROW if statement != "twice" else ARROW.rename_columns(["a", "a"])
        with pa.ipc.new_stream(content, answered.schema) as stream:
            stream.write_table(answered)
        cut = content.getvalue()[:-200] if statement == "torn" else content.getvalue()
        self.send_response(200)
        self.send_header("Content-Type", self.headers["Accept"])
        self.send_header("Content-Length", str(len(cut)))
        self.send_header("Readside-Truncated", "true" if statement == "truncated" else "false")
        self.send_header("Readside-As-Of", "2026-01-05T00:00:00.000000Z")
        self.send_header("Readside-Lag-Ms", "12")
        self.end_headers()
        self.wfile.write(cut)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing on the tests' standard error."""


@pytest.fixture
def arrow() -> Iterator[Store]:
    with ThreadingHTTPServer(("127.0.0.1", 0), ArrowEndpoint) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with store_of(Settings(queries_address=f"127.0.0.1:{server.server_address[1]}")) as store:
            yield store
        server.shutdown()
        thread.join()


def test_parquet_has_the_types_of_the_answer(arrow: Store, tmp_path: Path) -> None:
    written = write(arrow, "whole", Target(path=tmp_path / "a.parquet"))
    assert pq.read_table(written.path).equals(ARROW)
    assert (written.rows, written.freshness.lag_ms, written.freshness.as_of) == (2, 12, "2026-01-05T00:00:00.000000Z")
    with duckdb.connect() as database:
        assert database.execute(f"select total from '{written.path}'").fetchone() == (Decimal("10.10"),)


def test_parquet_is_there_whole_or_not_at_all(arrow: Store, tmp_path: Path) -> None:
    for statement, said in (("torn", "Parquet"), ("truncated", "cut off"), ("twice", "two columns")):
        with pytest.raises(StackError, match=said):
            write(arrow, statement, Target(path=tmp_path / "a.parquet"))
    assert list(tmp_path.iterdir()) == []


def test_a_text_longer_than_pythons_csv_reader_takes_is_a_row_too() -> None:
    long = "x" * 200_000
    assert rows_of_csv(f'id,note\r\n1,{long}\r\n2,"a ""b"",\r\nc"\r\n') == 2
    assert rows_of_csv('note\r\n\r\n""\r\n') == 2


def test_bytes_that_are_no_text_are_refused(store: Store) -> None:
    with pytest.raises(StackError, match="no text in UTF-8"):
        store.rows("select '\udcff'")
