"""From the shape in which a table was mirrored to its present one: which steps lead there, and whether they are certain.

Debezium says nothing of a changed table, nor does it send its rows again. A step is certain when what every row holds
after it follows from what the mirror holds: otherwise only a new snapshot can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from cdc.catalog import Table
from cdc.errors import Fatal
from cdc.shapes import ColumnShape, Shape, Shapes

_TEXTS = ("text", "character varying")


@dataclass(frozen=True, slots=True)
class Mirrored:
    """How a table is mirrored, as its store remembers it."""

    shape: Shape
    former: Mapping[str, str]  #: present name by former one: rows from before a rename may still come
    parked: str | None = None  #: why it is left as it stood


@dataclass(frozen=True, slots=True)
class Alteration:
    """What became of a table. Columns in ``added`` carry what rows that were there before hold in them."""

    added: tuple[ColumnShape, ...] = ()
    dropped: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()  #: (former, present)
    retyped: tuple[ColumnShape, ...] = ()
    doubt: str | None = None  #: why the mirror cannot follow without a new snapshot


def alteration(before: Shape, now: Shape) -> Alteration | None:
    """None when nothing changed."""
    if before.meaning == now.meaning:
        return None
    if before.oid != now.oid:
        return Alteration(doubt="it was made anew")
    if before.key != now.key:
        return Alteration(doubt="another key identifies its rows")
    old, new = ({column.number: column for column in shape.published} for shape in (before, now))
    both = [(old[number], new[number]) for number in sorted(old.keys() & new.keys())]
    # What was written before names its row by the former name, letters that are parked too.
    if key := [a.name for a, b in both if a.name != b.name and a.number in before.key]:
        return Alteration(doubt=f"column {', '.join(key)} of its key has another name")
    unpublished = {column.number for column in before.columns} - old.keys()
    if later := [new[number].name for number in sorted(unpublished & new.keys())]:
        return Alteration(doubt=f"column {', '.join(later)} was not published before")
    change = Alteration(
        added=tuple(new[number] for number in sorted(new.keys() - old.keys())),
        dropped=tuple(old[number].name for number in sorted(old.keys() - new.keys())),
        renamed=tuple((a.name, b.name) for a, b in both if a.name != b.name),
        retyped=tuple(b for a, b in both if a.type != b.type),
    )
    rewritten = before.filenode is None or before.filenode != now.filenode
    return replace(change, doubt=_doubt(change, old, rewritten=rewritten))


def mirrored(before: Mirrored, change: Alteration, now: Shape) -> Mirrored:
    """What to remember once a certain alteration is made: values and names that rows from before it still need."""
    known = {column.number: column.missing for column in before.shape.columns}
    columns = tuple(replace(column, missing=known.get(column.number, column.missing)) for column in now.columns)
    renamed = dict(change.renamed)
    former = {name: renamed.get(present, present) for name, present in before.former.items()} | renamed
    names = {column.name for column in columns if column.published}
    return Mirrored(
        replace(now, columns=columns),
        {name: present for name, present in former.items() if name not in names and present in names},
    )


@dataclass(slots=True)
class Plan:
    """What a store has to do to its mirror, by schema.table."""

    create: list[Table] = field(default_factory=list[Table])
    follow: list[tuple[Table, Alteration]] = field(default_factory=list[tuple[Table, Alteration]])
    doubts: dict[str, str] = field(default_factory=dict[str, str])  #: tables that need a new snapshot, and why
    remember: dict[str, Mirrored] = field(default_factory=dict[str, Mirrored])

    @property
    def parked(self) -> dict[str, str]:
        """Tables that are left as they stood, and why."""
        return {name: table.parked for name, table in self.remember.items() if table.parked}


def plan(
    tables: Iterable[Table],
    shapes: Shapes,
    known: Mapping[str, Mirrored],
    there: Callable[[Table], bool | None],
    parks: Callable[[str], bool],
) -> Plan:
    """``there``: None for no mirror, else whether it has the table's columns; ``parks``: whether a change parks a table."""
    made = Plan()
    for table in tables:
        name, shape = table.qualified, shapes[table.qualified]
        before, matches = known.get(name), there(table)
        made.remember[name] = Mirrored(shape, {})
        if matches is None:
            made.create.append(table)
        elif before is None:
            if not matches:
                made.doubts[name] = "it changed before its shape was remembered"
        elif change := alteration(before.shape, shape):
            _follow(made, table, before, change, parks(name))
        elif before.parked:
            made.doubts[name] = "it was parked"
        else:
            made.remember[name] = mirrored(before, Alteration(), shape)
    for name in known.keys() - made.remember.keys():
        made.remember[name] = replace(known[name], parked="the source does not publish it any more")
    return made


def _follow(made: Plan, table: Table, before: Mirrored, change: Alteration, parks: bool) -> None:
    name = table.qualified
    if parks:
        made.remember[name] = replace(before, parked="it changed at the source")
    elif before.parked or change.doubt:
        made.doubts[name] = change.doubt or "it was parked"
    else:
        made.follow.append((table, change))
        made.remember[name] = mirrored(before, change, made.remember[name].shape)


def with_missing(table: Table, known: Mirrored) -> Table:
    """The table, its columns knowing what rows hold in them that were there before they were added."""
    missing = {column.name: column.missing for column in known.shape.columns}
    return replace(table, columns=tuple(replace(c, missing=missing.get(c.name)) for c in table.columns))


def require_tables(wanted: Iterable[str], tables: Iterable[Table], known: Iterable[str]) -> None:
    """Raises Fatal when ``wanted``, names of mirrored tables, holds one that is neither captured nor was ever mirrored."""
    there = {table.mirror for table in tables} | {name.partition(".")[2] for name in known}
    if missing := sorted(set(wanted) - there):
        raise Fatal(
            f"the read models of READSIDE_MODELS read {', '.join(missing)}, which the source does not publish; "
            "add them to the publication, or name other models"
        )


def _doubt(change: Alteration, old: dict[int, ColumnShape], *, rewritten: bool) -> str | None:
    for column in change.retyped:
        if rewritten or not _same_values(old[column.number].type, column.type):
            return f"column {column.name} has another type"
    # A rewrite clears what PostgreSQL remembers of rows from before: they may hold anything in the new column.
    if rewritten and (unknown := [column.name for column in change.added if column.missing is None]):
        return f"its rows were rewritten, so nobody knows what they hold in the new column {', '.join(unknown)}"
    # A row image does not say from when it is: a name that meant another column before would be read wrongly.
    before = {column.name for column in old.values()}
    present = {name for _, name in change.renamed} | {column.name for column in change.added}
    if again := sorted(before & present):
        return f"the name {', '.join(again)} means another column now"
    return None


def _same_values(before: str, now: str) -> bool:
    """Whether a change of type that rewrote no row leaves every value's text as it was."""
    if before.startswith(_TEXTS) and now.startswith(_TEXTS):
        return True
    if before.startswith("numeric") and now.startswith("numeric"):
        return True
    # More labels behind the old ones; a label that is renamed changes rows without a rewrite.
    return now.startswith(before.removesuffix("]") + ", ") if before.endswith("]") else False
