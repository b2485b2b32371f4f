"""What the serving store notes of rebuilds: what was asked for, how far it is, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, LiteralString

import psycopg
from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier

from projectors.declaration import FORMER, NEXT
from projectors.versions import Version

Connection = psycopg.Connection[Any]
Wish = Literal["swap", "cancel", "roll back", "forget"]

_KEPT_NOTES = 50  # rebuilds that are remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """One rebuild of some declared tables."""

    id: int
    names: Sequence[str]  #: in the order of building; as they were asked for while ``state`` is asked
    asked: bool
    state: str
    swaps: bool  #: as soon as it is built
    wish: Wish | None
    fingerprints: Mapping[str, str]  #: of what is built, by name
    why: str | None

    @property
    def asked_names(self) -> Sequence[str]:
        """What an operator wants built anew, although its declaration may be the same."""
        return self.names if self.asked else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """How far the next version of one table is."""

    name: str
    state: Literal["keys", "rows", "indexes", "built"]
    total: int | None
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What happens by itself."""

    swaps: bool = True  #: what is built because its declaration changed takes its place; else an operator says when
    former_s: float = 3600.0  #: for so long former versions are kept up, to be rolled back to


DEFAULT_POLICY = Policy()


_REBUILD: LiteralString = "select id, names, asked, state, swaps, wish, fingerprints, why from readside.rebuilds where "


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressing:
    """How the next version of one table comes on."""

    name: str
    state: Literal["keys", "rows", "indexes", "built"]
    total: int | None  #: rows; None until their keys are listed
    done: int
    rate: float | None  #: rows per second since its building began, batches and all

    @property
    def eta_seconds(self) -> float | None:
        """Until its rows are computed."""
        return (self.total - self.done) / self.rate if self.total is not None and self.rate else None


def under_way(connection: Connection) -> Rebuild | None:
    """The one that has not ended."""
    with connection.cursor(row_factory=class_row(Rebuild)) as cursor:
        return cursor.execute(_REBUILD + "state in ('asked', 'building', 'built')").fetchone()


def by_id(connection: Connection, rebuild: int) -> Rebuild:
    """One of which the id is known."""
    with connection.cursor(row_factory=class_row(Rebuild)) as cursor:
        found = cursor.execute(_REBUILD + "id = %(id)s", {"id": rebuild}).fetchone()
    assert found is not None
    return found


def progress(connection: Connection) -> list[Progressing]:
    """How the rebuild under way comes on, in the order of building."""
    with connection.cursor(row_factory=class_row(Progressing)) as cursor:
        return cursor.execute(
            """
            select name, state, total, done,
                   case when done > 0
                        then (done / nullif(extract(epoch from clock_timestamp() - rows_at), 0))::float end as rate
              from readside.candidates
             order by begun_at
            """
        ).fetchall()


def latest_swapped(connection: Connection, former_s: float) -> Rebuild | None:
    """The last one that took its place, while its former versions are there; after ``former_s`` they are to be forgotten."""
    with connection.cursor(row_factory=class_row(Rebuild)) as cursor:
        return cursor.execute(
            """
            select id, names, asked, state, swaps, fingerprints, why,
                   case when wish in ('roll back', 'forget') then wish
                        when ended_at < now() - make_interval(secs => %(former_s)s) then 'forget' end as wish
              from readside.rebuilds
             where id = (select max(id) from readside.rebuilds where state in ('swapped', 'rolled back'))
               and state = 'swapped'
               and exists (select from readside.declared where right(name, 8) = '__former')
            """,
            {"former_s": former_s},
        ).fetchone()


def former_behind(connection: Connection) -> str | None:
    """Which former version could not be kept up, and why."""
    row = connection.execute(
        "select name || ' stands still: ' || parked from readside.declared where right(name, 8) = %(former)s and "
        "parked is not null order by name limit 1",
        {"former": FORMER},
    ).fetchone()
    return row[0] if row else None


def refused_fingerprints(connection: Connection) -> dict[str, set[str]]:
    """By name, declarations that were built or to be built, and that somebody or something took back."""
    rows = connection.execute(
        """
        select f.key, f.value
          from readside.rebuilds, jsonb_each_text(fingerprints) f
         where state in ('cancelled', 'failed', 'rolled back')
        """
    ).fetchall()
    refused: dict[str, set[str]] = {}
    for name, fingerprint in rows:
        refused.setdefault(name, set()).add(fingerprint)
    return refused


def ask(connection: Connection, names: Collection[str], *, swaps: bool) -> int:
    """Have the projector build these anew; returns the rebuild's id. Raises UniqueViolation while another is under way."""
    row = connection.execute(
        """
        insert into readside.rebuilds (names, asked, state, swaps)
        values (%(names)s, true, 'asked', %(swaps)s)
        returning id
        """,
        {"names": sorted(names), "swaps": swaps},
    ).fetchone()
    assert row is not None
    return row[0]


def wish(connection: Connection, rebuild: int, wanted: Wish) -> None:
    """Have the projector do this with a rebuild."""
    connection.execute(
        "update readside.rebuilds set wish = %(wish)s where id = %(id)s", {"id": rebuild, "wish": wanted}
    )


def begin(connection: Connection, renewed: Mapping[str, Version], *, swaps: bool, rebuild: Rebuild | None) -> None:
    """Note that these are being built: for a rebuild that was asked for, or because declarations changed."""
    values = {
        "id": rebuild.id if rebuild else None,
        "names": list(renewed),
        "fingerprints": json.dumps({name: version.fingerprint for name, version in renewed.items()}),
        "swaps": swaps,
    }
    if rebuild is None:
        connection.execute(
            """
            insert into readside.rebuilds (names, asked, state, swaps, fingerprints)
            values (%(names)s, false, 'building', %(swaps)s, %(fingerprints)s::jsonb)
            """,
            values,
        )
        connection.execute(
            """
            delete from readside.rebuilds r
             where state = 'swapped' and id <= (select max(id) from readside.rebuilds) - %(kept)s
               and id < (select max(id) from readside.rebuilds where state = 'swapped')  -- its former versions may be there
            """,
            {"kept": _KEPT_NOTES},
        )
    else:
        connection.execute(
            """
            update readside.rebuilds
               set names = %(names)s, state = 'building', fingerprints = %(fingerprints)s::jsonb
             where id = %(id)s
            """,
            values,
        )


def move(connection: Connection, rebuild: int, state: str, why: str | None = None) -> None:
    """Note what became of it. What serves by the same declaration was built anew alone: that is not refused with it."""
    connection.execute(
        """
        update readside.rebuilds r
           set fingerprints = case when %(state)s in ('cancelled', 'failed', 'rolled back') then (
                   select coalesce(jsonb_object_agg(f.key, f.value), '{}')
                     from jsonb_each_text(r.fingerprints) f
                    where not exists (select from readside.declared d where d.name = f.key and d.fingerprint = f.value))
                   else fingerprints end,
               state = %(state)s, wish = case when %(state)s = 'built' then wish end, why = %(why)s,
               built_at = case when %(state)s = 'built' then now() else built_at end,
               ended_at = case when %(state)s = 'built' then null else now() end
         where id = %(id)s
        """,
        {"id": rebuild, "state": state, "why": why},
    )


def outdate(connection: Connection, rebuild: int) -> None:
    """End one of which the declarations have changed meanwhile. Nobody refused them: they may be built another time."""
    move(connection, rebuild, "cancelled", "the declarations changed once more")
    connection.execute("update readside.rebuilds set fingerprints = '{}' where id = %(id)s", {"id": rebuild})


def add_candidate(connection: Connection, name: str, rebuild: int, *, built: bool) -> None:
    """Note that the table of a next version is made; ``built``: and filled."""
    connection.execute(
        """
        insert into readside.candidates (name, rebuild, state, done) values (%(name)s, %(rebuild)s, %(state)s, 0)
        on conflict (name) do update
           set rebuild = excluded.rebuild, state = excluded.state, total = null, done = 0, begun_at = now()
        """,
        {"name": name, "rebuild": rebuild, "state": "built" if built else "keys"},
    )


def keys_listed(connection: Connection, name: str, keys: Identifier) -> None:
    """Note that this table holds its keys."""
    connection.execute(
        SQL("""
            update readside.candidates
               set state = 'rows', rows_at = now(), total = (select count(*) from {})
             where name = %(name)s
        """).format(keys),
        {"name": name},
    )


def rows_computed(connection: Connection, name: str, done: int, *, last: bool) -> None:
    """Note that the rows of so many keys are computed."""
    connection.execute(
        """
        update readside.candidates
           set done = %(done)s, state = %(state)s
         where name = %(name)s
        """,
        {"name": name, "done": done, "state": "indexes" if last else "rows"},
    )


def candidate_built(connection: Connection, name: str, keys: Identifier) -> None:
    """Note that it is whole; its keys are not needed any more."""
    connection.execute("update readside.candidates set state = 'built' where name = %(name)s", {"name": name})
    connection.execute(SQL("drop table {}").format(keys))


def candidates(connection: Connection) -> dict[str, Candidate]:
    """How far each is, by name."""
    with connection.cursor(row_factory=class_row(Candidate)) as cursor:
        rows = cursor.execute("select name, state, total, done from readside.candidates").fetchall()
    return {row.name: row for row in rows}


def forget_candidates(connection: Connection) -> list[str]:
    """Forget how far they are; returns the names of their tables."""
    rows = connection.execute("delete from readside.candidates returning name").fetchall()
    return [f"{name}{NEXT}" for (name,) in rows]
