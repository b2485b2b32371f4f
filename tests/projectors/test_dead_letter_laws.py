"""Random histories of damaged changes, against a model of parking that is a dozen lines and knows no engine.

A row of which something is parked stays as it was; what comes for it is parked in order; dropping what cannot be applied
and retrying the rest gives what the rest alone would have made. Every record is accounted for at every step.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cdc.catalog import read_tables
from cdc.shapes import read_shapes
from projectors.letters import Asked, DeadLetter
from projectors.tally import unaccounted
from tests.histories import ALL
from tests.projection import Projection
from tests.projectors.test_dead_letters import ask, out_of_range, rename, spoil, unknown_operation, user
from tests.scripted import ScriptedLog, ScriptedSource
from tests.snapshots import ScriptedSnapshots
from tests.subjects import AnalyticsSubject, ServingSubject, Subject

STEPS = 40
Event = tuple[str, int, str]  # kind, user, last name


@dataclass
class Model:
    """What the mirror of users must hold, and the letters in order: (event, whether it is itself the cause)."""

    stored: dict[int, str] = field(default_factory=dict[int, str])
    letters: list[tuple[Event, bool]] = field(default_factory=list[tuple[Event, bool]])

    def happen(self, events: list[Event], *, spoiled: bool) -> None:
        """One transaction; ``spoiled``: its last row image cannot be applied."""
        # Neither half of a change of key is applied where the other is not.
        behind = len(events) == 2 and (spoiled or events[1][1] in self.blocked)
        for number, event in enumerate(events):
            cause = spoiled and number == len(events) - 1
            kind, key, _ = event
            if kind == "truncate":
                self.stored.clear()
                self.letters.clear()
            elif cause or behind or key in self.blocked:
                self.letters.append((event, cause))
                behind = True
            else:
                self.apply(event)

    def apply(self, event: Event) -> None:
        kind, key, name = event
        if kind == "delete":
            self.stored.pop(key, None)
        else:
            self.stored[key] = name

    @property
    def blocked(self) -> set[int]:
        return {key for (_, key, _), _ in self.letters}

    def settle(self) -> None:
        """Causes are dropped, the rest is applied."""
        for event, cause in self.letters:
            if not cause:
                self.apply(event)
        self.letters.clear()


class Users:
    """The source's users, changed at random; each change as SQL and as the model's events."""

    def __init__(self, source: ScriptedSource, chance: Random) -> None:
        self._source = source
        self._chance = chance
        self.names: dict[int, str] = {}

    def change(self) -> list[Event]:
        """Commit one transaction; what it did."""
        chance, name = self._chance, f"N{self._chance.randrange(1000)}"
        key = chance.randrange(1, 6)
        if key not in self.names:
            self._run(user(key, name))
            self.names[key] = name
            return [("write", key, name)]
        what = chance.choice(("rename", "rename", "rename", "move", "delete", "truncate"))
        if what == "truncate" and chance.random() < 0.8:
            what = "rename"
        if what == "rename":
            self._run(rename(key, name))
            self.names[key] = name
            return [("write", key, name)]
        if what == "delete":
            self._run(f"delete from users where id = {key}")
            del self.names[key]
            return [("delete", key, "")]
        if what == "truncate":
            self._run("truncate users, orders, posts cascade")
            self.names.clear()
            return [("truncate", 0, "")]
        to = chance.choice([number for number in range(1, 12) if number not in self.names])
        self._run(f"update users set id = {to}, email = '{to}@example.com' where id = {key}")
        self.names[to] = self.names.pop(key)
        return [("delete", key, ""), ("write", to, self.names[to])]

    def _run(self, statement: str) -> None:
        self._source.connection.execute(statement)  # pyright: ignore[reportArgumentType, reportCallIssue]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["serving", "analytics"])
def test_a_row_stands_still_while_something_of_it_is_parked(
    kind: str, seed: int, shop_database: str, store_database: str, tmp_path: Path
) -> None:
    subject = ServingSubject(store_database) if kind == "serving" else AnalyticsSubject(tmp_path)
    chance, model = Random(seed), Model()
    with life(shop_database, subject, tmp_path) as (source, projection):
        users = Users(source, chance)
        for _ in range(STEPS):
            events = users.change()
            for transaction in source.flush():
                source.log.send(transaction)
            spoiled = events[-1][0] == "write" and chance.random() < 0.15
            if spoiled:
                spoil(source, chance.choice((unknown_operation, out_of_range)))
            model.happen(events, spoiled=spoiled)
            projection.advance(ALL, chance)
            check(projection.store, model)
            assert not unaccounted(subject.counts(projection.store))
        while left := letters(projection.store):
            # A cause that was parked behind another shows itself when it is tried.
            causes = [letter for letter in left if not letter.reason.startswith(("behind", "before"))]
            asked = Asked(causes[0].place, "drop") if causes else Asked(left[0].place, "retry")
            wish(source, projection, asked, chance)
        model.settle()
        check(projection.store, model)
        assert not unaccounted(subject.counts(projection.store))


@contextmanager
def life(shop_dsn: str, subject: Subject, directory: Path) -> Iterator[tuple[ScriptedSource, Projection]]:
    tables, shapes = read_tables(shop_dsn, "readside"), read_shapes(shop_dsn, "readside")
    source = ScriptedSource(shop_dsn, ScriptedLog(tables))
    store = subject.make(tables, shapes)
    projection = Projection(
        source.log, store, ScriptedSnapshots(source), directory, parks=lambda table: table == "public.users"
    )
    try:
        yield source, projection
    finally:
        projection.kill()
        source.close()
        subject.close()  # pyright: ignore[reportAttributeAccessIssue]


def wish(source: ScriptedSource, projection: Projection, asked: Asked, chance: Any) -> None:
    before = letters(projection.store)
    ask(projection.store, asked.place, asked.action)
    source.log.send(source.pulse())
    projection.advance(ALL, chance)
    assert letters(projection.store) != before, f"{asked} changed nothing"


def letters(store: Any) -> list[DeadLetter]:
    return list(store.dead_letters())


def check(store: Any, model: Model) -> None:
    connection = store.cursor() if hasattr(store, "cursor") else store._connection
    stored = dict(connection.execute("select id, last_name from mirror.users").fetchall())
    assert stored == model.stored
    told = [json.loads(letter.key)["id"] for letter in letters(store)]
    assert told == [key for (_, key, _), _ in model.letters]
