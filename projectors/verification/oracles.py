"""What rows must be, told apart from the engine: a model's oracle file, a table of the source, or its own query again."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString, TypeAlias, cast

from cdc.catalog import Table
from projectors.declaration import StoreName, is_declared
from projectors.read_model import ReadModel
from projectors.rollup import Rollup

# A row's text is compared, so both sides' sessions must write values alike.
SESSION = (
    "-c timezone=UTC -c datestyle=ISO,MDY -c intervalstyle=postgres -c bytea_output=hex -c extra_float_digits=1 "
    "-c xmloption=content"
)

#: Key columns of these types order rows alike in every database; a text does so by its bytes.
_ORDERED = ("smallint", "integer", "bigint", "uuid", "date")
_TEXTS = ("text", "character varying", "character")

Bound = Sequence[str]  #: a key's values as text


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """What rows must be (SQL on the source), and what they are (SQL on the store), key columns first."""

    name: str
    store: StoreName
    key: tuple[str, ...]
    expected: LiteralString
    stored: LiteralString
    #: Of both statements, where they are of a range of keys; only for the serving store.
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Recomputation:
    """A model's own query for all keys, or a rollup's over all rows, beside what is stored, in one snapshot of its store.

    It shows what was not kept up; that the mirror is what the source says is another check's to show.
    """

    model: ReadModel | Rollup

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.name

    @property
    def store(self) -> StoreName:
        """The model's."""
        return self.model.store


Check: TypeAlias = Oracle | Recomputation


def oracle_of(model: ReadModel, package: str) -> Oracle | None:
    """The oracle file beside the declarations; None when its author wrote none. ``package``: or a module alone."""
    file = Path(importlib.import_module(package).__file__ or "").parent / "oracles" / f"{model.name}.sql"
    if not file.is_file():
        return None
    text = cast("LiteralString", file.read_text())
    _, expected, stored = re.split(r"^-- (?:expected|stored)$", text, flags=re.MULTILINE)
    return Oracle(
        name=model.name,
        store=model.store,
        key=model.key,
        expected=cast("LiteralString", expected),
        stored=cast("LiteralString", stored),
    )


def oracle_of_table(table: Table, after: Bound | None = None, upto: Bound | None = None) -> Oracle:
    """A mirrored table against the source's own, every column as text; or its rows from behind a key up to another."""
    key = [_quoted(name) for name in table.key]
    others = [_quoted(column.name) for column in table.columns if not column.generated and column.name not in table.key]
    select = f"select {', '.join(f'{name}::text as {name}' for name in (*key, *others))} from "
    bounds, parameters = list[str](), dict[str, str]()
    for name, sign, bound in (("after", ">", after), ("upto", "<=", upto)):
        if bound is not None:
            bounds.append(f"({', '.join(_order(table))}) {sign} ({', '.join(_marks(table, name))})")
            parameters |= {f"{name}_{number}": value for number, value in enumerate(bound)}
    within = f" where {' and '.join(bounds)}" if bounds else ""
    return Oracle(
        name=f"mirror.{table.mirror}",
        store="serving",
        key=table.key,
        expected=cast("LiteralString", f"{select}{_quoted(table.schema)}.{_quoted(table.name)}{within}"),
        stored=cast("LiteralString", f"{select}mirror.{_quoted(table.mirror)}{within}"),
        parameters=parameters,
    )


def is_sliced(table: Table) -> bool:
    """Whether ranges of its keys are the same in the source and in the mirror."""
    return all(column.type in (*_ORDERED, *_TEXTS) for column in table.keys)


def next_bound(table: Table, after: Bound | None, rows: int) -> tuple[LiteralString, Mapping[str, str | int]]:
    """SQL on the source for the key of the row that lies so many behind a key; no row when there are fewer."""
    key = ", ".join(f"{_quoted(name)}::text" for name in table.key)
    within = "" if after is None else f" where ({', '.join(_order(table))}) > ({', '.join(_marks(table, 'after'))})"
    statement = f"""
        select {key} from {_quoted(table.schema)}.{_quoted(table.name)}{within}
         order by {", ".join(_order(table))} limit 1 offset %(rows)s
    """
    parameters = {f"after_{number}": value for number, value in enumerate(after or ())}
    return with_parameters(cast("LiteralString", statement)), {**parameters, "rows": rows - 1}


def with_parameters(statement: LiteralString) -> LiteralString:
    """A statement for execution with parameters, %(name)s: any other per cent sign is one of the text."""
    return cast("LiteralString", re.sub(r"%(?!\([a-z]+(_\d+)?\)s)", "%%", statement))


def _order(table: Table) -> list[str]:
    """The key's columns as they are compared, in the key's order."""
    kinds = {column.name: column.type for column in table.keys}
    return [_quoted(name) + (' collate "C"' if kinds[name] in _TEXTS else "") for name in table.key]


def _marks(table: Table, name: str) -> list[str]:
    kinds = {column.name: column.type for column in table.keys}
    return [f"%({name}_{number})s::{kinds[key]}" for number, key in enumerate(table.key)]


def recomputing(model: ReadModel | Rollup, columns: Mapping[str, str]) -> LiteralString:
    """The statement of a `Recomputation`: SQL that both stores read. ``columns``: the stored table's, with their types.

    Its rows are (count of all, count of those that are wrong, key columns, what is wrong, the columns that differ); one with
    nulls when nothing is.
    """
    names = [_quoted(name) for name in model.key]
    first = names[0]
    # As the stored table's types have it: what is rounded on the way in is no difference.
    fresh = {name: f"f.{_quoted(name)}::{kind}" for name, kind in columns.items()}
    stored = {name: f"t.{_quoted(name)}" for name in columns}
    # A group is found by its key, equal in whatever form it is written (1.0, 1.00), and keeps one of those forms.
    compared = [name for name in columns if isinstance(model, ReadModel) or name not in model.key]
    rows = [f"row({', '.join(side[name] for name in compared)})::varchar" for side in (fresh, stored)]
    differing = ", ".join(
        f"case when {fresh[name]}::varchar is distinct from {stored[name]}::varchar then '{name}' end"
        for name in columns
        if name not in model.key
    )
    statement = f"""
        with {_computed(model) if isinstance(model, ReadModel) else _counted(model, columns)},
             wrong as (
                select count(*) over () as found, {", ".join(f"coalesce(f.{name}, t.{name}) as {name}" for name in names)},
                       case when t.{first} is null then 'missing'
                            when f.{first} is null then 'unexpected'
                            else 'different' end as kind,
                       case when t.{first} is not null and f.{first} is not null
                            then concat_ws(' ', null, {differing or "null"}) end as differing
                  from fresh f
                  full join {_stored(model.reference, model.store)} t
                    on {" and ".join(f"f.{name} = t.{name}" for name in names)}
                 where f.{first} is null or t.{first} is null
                    or {" is distinct from ".join(rows)})
        select (select count(*) from fresh) as total, w.* from (select 1) one left join wrong w on true
    """
    return cast("LiteralString", statement)


def _computed(model: ReadModel) -> str:
    keys = "\n union all \n".join(
        f"select * from (with changed as (select * from {_stored(source, model.store)}) select * from ({query}\n) k) keys"
        for source, query in model.affected_by.items()
    )
    key = ", ".join(map(_quoted, model.key))
    return f"affected ({key}) as (select distinct * from ({keys}) keys), fresh as ({model.query})"


def _counted(rollup: Rollup, columns: Mapping[str, str]) -> str:
    measures = {name: f"coalesce({_quoted(name)}, 0)" for name in columns if name not in rollup.key}
    measured = [
        f"{f'trim_scale({value})' if columns[name] == 'numeric' else value} as {_quoted(name)}"
        for name, value in measures.items()
    ]
    return f"""
        fresh as (
            with changed as (select * from {_stored(rollup.of, rollup.store)})
            select {", ".join([*map(_quoted, rollup.key), *measured])}
              from ({rollup.query}) q
             where {" and ".join(f"{_quoted(name)} is not null" for name in rollup.key)}
               and ({" or ".join(f"{value} <> 0" for value in measures.values())}))
    """


def _stored(source: str, store: StoreName) -> str:
    if not is_declared(source):
        return f"mirror.{_quoted(source)}"
    return source.replace("read_models.", "main.", 1) if store == "analytics" else source


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
