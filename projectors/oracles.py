"""What rows must be, told apart from the engine: a model's oracle file, a table of the source, or its own query again."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import LiteralString, TypeAlias, cast

from cdc.catalog import Table
from projectors.declaration import StoreName, is_declared
from projectors.read_model import ReadModel

# A row's text is compared, so both sides' sessions must write values alike.
SESSION = (
    "-c timezone=UTC -c datestyle=ISO,MDY -c intervalstyle=postgres -c bytea_output=hex -c extra_float_digits=1 "
    "-c xmloption=content"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """What rows must be (SQL on the source), and what they are (SQL on the store), key columns first."""

    name: str
    store: StoreName
    key: tuple[str, ...]
    expected: LiteralString
    stored: LiteralString


@dataclass(frozen=True, slots=True)
class Recomputation:
    """A model's own query for all keys, beside what is stored, in one snapshot of its store.

    It shows a model that was not kept up; that the mirror is what the source says is another check's to show.
    """

    model: ReadModel


Check: TypeAlias = Oracle | Recomputation


def oracle_of(model: ReadModel, package: str) -> Oracle | None:
    """The oracle file beside the declarations; None when its author wrote none."""
    file = importlib.resources.files(package) / "oracles" / f"{model.name}.sql"
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


def oracle_of_table(table: Table) -> Oracle:
    """A mirrored table against the source's own, every column as text."""
    keys = ", ".join(f"{_quoted(name)}::text as {_quoted(name)}" for name in table.key)
    columns = ", ".join(_quoted(column.name) for column in table.columns if not column.generated)
    select = f"select {keys}, row({columns})::text as row from "
    return Oracle(
        name=f"mirror.{table.mirror}",
        store="serving",
        key=table.key,
        expected=cast("LiteralString", select + f"{_quoted(table.schema)}.{_quoted(table.name)}"),
        stored=cast("LiteralString", select + f"mirror.{_quoted(table.mirror)}"),
    )


def recomputing(model: ReadModel, columns: Mapping[str, str]) -> LiteralString:
    """The statement of a `Recomputation`: SQL that both stores read. ``columns``: the stored table's, with their types.

    Its rows are (count of all, key columns, what is wrong); one with nulls when nothing is.
    """
    keys = "\n union all \n".join(
        f"select * from (with changed as (select * from {_stored(source)}) select * from ({query}\n) k) keys"
        for source, query in model.affected_by.items()
    )
    key = ", ".join(model.key)
    first = model.key[0]
    # As the stored table's types have it: what is rounded on the way in is no difference.
    fresh = ", ".join(f"f.{_quoted(name)}::{kind}" for name, kind in columns.items())
    stored = ", ".join(f"t.{_quoted(name)}" for name in columns)
    statement = f"""
        with affected ({key}) as (select distinct * from ({keys}) keys),
             fresh as ({model.query}),
             wrong as (
                select {", ".join(f"coalesce(f.{name}, t.{name}) as {name}" for name in model.key)},
                       case when t.{first} is null then 'missing'
                            when f.{first} is null then 'unexpected'
                            else 'different' end as kind
                  from fresh f
                  full join {model.reference if model.store == "serving" else model.name} t
                    on {" and ".join(f"f.{name} = t.{name}" for name in model.key)}
                 where f.{first} is null or t.{first} is null
                    or row({fresh})::varchar is distinct from row({stored})::varchar)
        select (select count(*) from fresh) as total, w.* from (select 1) one left join wrong w on true
    """
    return cast("LiteralString", statement)


def _stored(source: str) -> str:
    return source if is_declared(source) else f"mirror.{_quoted(source)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
