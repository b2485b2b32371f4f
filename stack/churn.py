"""Direct SQL on the write database: what the writer's commands never do and a database allows.

Primary-key changes, COPYs, updates that leave wide columns alone, cascades, savepoints, transactions that overlap. Each
transaction also writes one row with a title of its own, by which the judge tells what became of it.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cdc.connector import source_dsn
from config.settings import Settings

#: Ids that neither the writer nor another worker uses.
_FIRST_ID, _IDS_EACH = 10**12, 10**10
_RECONNECT_S = 0.2

Connection = psycopg.Connection[Any]


@dataclass(slots=True)
class Ledger:
    """What became of each transaction, by its title."""

    acknowledged: set[str] = field(default_factory=set[str])
    unknown: set[str] = field(default_factory=set[str])  #: the connection broke while it committed
    refused: set[str] = field(default_factory=set[str])  #: rolled back


class Churn:
    """Several workers at it; ``start``, then ``stop``."""

    def __init__(
        self, settings: Settings, *, seed: int, workers: int = 2, pause_s: tuple[float, float] = (0.01, 0.06)
    ) -> None:
        """``pause_s``: least and most between two transactions of a worker."""
        assert settings.admin_dsn is not None
        database = conninfo_to_dict(source_dsn(settings))["dbname"]
        self._dsn = make_conninfo(settings.admin_dsn.get_secret_value(), dbname=str(database))
        self._stop = threading.Event()
        self._workers = [
            _Worker(self._dsn, n, Random(f"{seed}/churn {n}"), self._stop, pause_s) for n in range(workers)
        ]
        self._threads = [threading.Thread(target=worker.run, daemon=True) for worker in self._workers]

    def start(self) -> None:
        """Begin."""
        with psycopg.connect(self._dsn) as connection:
            connection.execute(
                """
                insert into users (id, email, first_name, last_name, display_name)
                select %(first)s + n, 'churn' || n || '@example.org', 'Churn', 'Worker', 'churn'
                  from generate_series(0, 3) n
                on conflict do nothing
                """,
                {"first": _FIRST_ID},
            )
        for thread in self._threads:
            thread.start()

    def stop(self) -> Ledger:
        """End it; what has become of everything. Raises what a worker raised."""
        self._stop.set()
        whole = Ledger()
        for worker, thread in zip(self._workers, self._threads, strict=True):
            thread.join()
            if worker.failure is not None:
                raise worker.failure
            whole.acknowledged |= worker.ledger.acknowledged
            whole.unknown |= worker.ledger.unknown
            whole.refused |= worker.ledger.refused
        return whole


class _Worker:
    def __init__(
        self, dsn: str, number: int, random: Random, stop: threading.Event, pause_s: tuple[float, float]
    ) -> None:
        self._pause_s = pause_s
        self.ledger = Ledger()
        self.failure: BaseException | None = None
        self._dsn = dsn
        self._first = _FIRST_ID + (number + 1) * _IDS_EACH
        self._next = self._first
        self._random = random
        self._stop = stop
        self._posts: list[int] = []
        self._run = uuid.uuid4().hex

    def run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    self._work()
                except psycopg.OperationalError:
                    self._stop.wait(_RECONNECT_S)
        except BaseException as exc:
            self.failure = exc
            self._stop.set()

    def _work(self) -> None:
        with psycopg.connect(self._dsn, connect_timeout=5) as connection:
            self._know(connection)
            while not self._stop.wait(self._random.uniform(*self._pause_s)):
                self._transact(connection)

    def _know(self, connection: Connection) -> None:
        """What is there of ours: after a broken connection nobody else can say."""
        mine = {"first": self._first, "last": self._first + _IDS_EACH - 1}
        posts = connection.execute(
            "select id, title like 'ledger %%' from posts where id between %(first)s and %(last)s", mine
        ).fetchall()
        comments = connection.execute(
            "select id from comments where id between %(first)s and %(last)s", mine
        ).fetchall()
        connection.rollback()
        self._posts = [id for id, of_ledger in posts if not of_ledger]
        self._next = max(self._next, *(row[0] for row in (*posts, *comments, (0,))))

    def _transact(self, connection: Connection) -> None:
        title = f"ledger {self._run} {self._new_id()}"
        posts = list(self._posts)
        try:
            for step in self._random.choices(STEPS, k=self._random.randint(1, 3)):
                step(self, connection)
            if self._random.random() < 0.3:  # long enough for others to begin and commit meanwhile
                connection.execute("select pg_sleep(%(s)s)", {"s": self._random.uniform(0.0, 0.1)})
            self._insert(connection, self._new_id(), title)
        except psycopg.errors.OperationalError:
            self.ledger.refused.add(title)
            raise
        except psycopg.errors.IntegrityError:
            connection.rollback()
            self._posts = posts
            self.ledger.refused.add(title)
            return
        try:
            connection.commit()
        except psycopg.OperationalError:
            self.ledger.unknown.add(title)
            raise
        self.ledger.acknowledged.add(title)

    def copy_posts(self, connection: Connection) -> None:
        """Rows that share one LSN."""
        with connection.cursor() as cursor:
            statement = "copy posts (id, author_id, title, body, published_at) from stdin"
            with cursor.copy(statement) as copy:
                for _ in range(self._random.randint(3, 12)):
                    post = self._new_id()
                    copy.write_row((post, _FIRST_ID, f"copied {post}", self._body(), "2026-01-01T00:00:00Z"))
                    self._posts.append(post)

    def write_post(self, connection: Connection) -> None:
        """One row, and one that is taken back."""
        post = self._new_id()
        self._insert(connection, post, f"post {post}")
        connection.execute("savepoint undone")
        self._insert(connection, self._new_id(), "never there")
        connection.execute("rollback to savepoint undone")
        self._posts.append(post)

    def retitle(self, connection: Connection) -> None:
        """An update whose record does not carry the body, which is stored out of line."""
        self._update(connection, "update posts set title = title || '.', version = version + 1 where id = %(post)s")

    def move_post(self, connection: Connection) -> None:
        """A key change, of a row with a body that its record does not carry."""
        if self._posts:
            place = self._random.randrange(len(self._posts))
            moved = self._new_id()
            connection.execute("delete from comments where post_id = %(post)s", {"post": self._posts[place]})
            connection.execute(
                "update posts set id = %(moved)s where id = %(post)s", {"post": self._posts[place], "moved": moved}
            )
            self._posts[place] = moved

    def comment(self, connection: Connection) -> None:
        """Rows that a cascade will delete, and two that change places."""
        if self._posts:
            a, b = self._new_id(), self._new_id()
            for comment in (a, b):
                connection.execute(
                    "insert into comments (id, post_id, author_id, body) values (%(id)s, %(post)s, %(author)s, %(body)s)",
                    {
                        "id": comment,
                        "post": self._random.choice(self._posts),
                        "author": _FIRST_ID,
                        "body": f"{comment}",
                    },
                )
            for old, new in ((a, -a), (b, a), (-a, b)):
                connection.execute("update comments set id = %(new)s where id = %(old)s", {"old": old, "new": new})

    def delete_post(self, connection: Connection) -> None:
        """A delete, with its cascade."""
        if len(self._posts) > 20:
            post = self._posts.pop(self._random.randrange(len(self._posts)))
            connection.execute("delete from posts where id = %(post)s", {"post": post})

    def contend(self, connection: Connection) -> None:
        """A row that every worker changes, in transactions that wait for each other."""
        connection.execute("update users set version = version + 1 where id = %(user)s", {"user": _FIRST_ID + 1})

    def _update(self, connection: Connection, statement: Any) -> None:
        if self._posts:
            connection.execute(statement, {"post": self._random.choice(self._posts)})

    def _insert(self, connection: Connection, post: int, title: str) -> None:
        connection.execute(
            """
            insert into posts (id, author_id, title, body, published_at)
            values (%(id)s, %(author)s, %(title)s, %(body)s, now())
            """,
            {"id": post, "author": _FIRST_ID, "title": title, "body": self._body()},
        )

    def _body(self) -> str:
        return self._random.randbytes(self._random.choice((20, 200, 6_000))).hex()

    def _new_id(self) -> int:
        self._next += 1
        return self._next


STEPS: tuple[Callable[[_Worker, Connection], None], ...] = (
    _Worker.copy_posts,
    _Worker.write_post,
    _Worker.retitle,
    _Worker.retitle,
    _Worker.move_post,
    _Worker.move_post,
    _Worker.comment,
    _Worker.delete_post,
    _Worker.contend,
)
