"""How a read model is declared: what its rows are, and which keys a changed source row can touch.

An author never sees a connection, an offset or a transaction. A read model is a pure function of the mirrored source
tables, so duplicates, order between tables and crashes cannot make it wrong; the engine recomputes exactly the affected
keys. Mistakes fail when the declaration is imported, with what to change.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import LiteralString

from projectors.declaration import (
    DeclarationError,
    StoreName,
    fingerprint,
    is_declared,
    listed,
    mentions,
    relations,
    require_name,
)
from projectors.rollup import Rollup

_HISTORY = re.compile(r"\bhistory\.(\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Embed:
    """A column that repeats a column of another read model's row.

    When that row is updated, the column is copied to every row that repeats it, and nothing is computed anew: of a fact
    that a thousand rows show, each change costs a thousand narrow updates. The query must take nothing else from there.
    """

    of: LiteralString  #: read_models.M
    column: LiteralString  #: of M
    by: LiteralString  #: the embedding model's column that holds M's key, indexed
    key: LiteralString = "id"  #: M's key


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadModel:
    """One denormalised table, kept equal to its query.

    ``query`` selects the rows of the keys in the relation ``affected``, whose columns are named as in ``key``. It reads
    ``mirror.T``, the source's table T as it stands after the change, ``rollups.R`` and ``read_models.M``, declared ones as
    they stand then, and ``history.H``, a declared history. Each query in ``affected_by`` selects keys, in key order, from
    the relation ``changed``: the old and the new version of every changed row of that source table (``T``) or declared
    relation (``rollups.R``, ``read_models.M``), with its columns. Columns are matched by name, so their order does not
    matter. A row has a key: in DuckDB one with NULL in it is not stored, and PostgreSQL refuses it.
    """

    name: LiteralString  #: the table's name, and the model's everywhere else
    key: tuple[LiteralString, ...]
    columns: LiteralString  #: columns and constraints, as between the parentheses of CREATE TABLE
    affected_by: Mapping[LiteralString, LiteralString]
    query: LiteralString
    comment: LiteralString  #: one line: what a row is
    indexes: tuple[LiteralString, ...] = ()  #: as after ON t: "(user_id, placed_at desc)" or "using gin (search)"
    #: Indexes that its query needs on source tables, by table: {"reviews": ("(product_id, created_at desc)",)} makes the
    #: latest few, the first and the last of a group cheap. There as long as some declaration asks for them.
    mirror_indexes: Mapping[LiteralString, tuple[LiteralString, ...]] = field(
        default_factory=dict[LiteralString, tuple[LiteralString, ...]]
    )
    #: Columns that are copied when what they repeat is updated. ``affected_by`` is asked for rows that come and go there.
    embeds: Mapping[LiteralString, Embed] = field(default_factory=dict[LiteralString, Embed])
    storage: LiteralString = ""  #: storage parameters, as between the parentheses of CREATE TABLE … WITH (…)
    #: PostgreSQL extensions that its columns, indexes or query need, such as pg_trgm: the store's own, or trusted ones.
    extensions: tuple[LiteralString, ...] = ()
    store: StoreName = "serving"

    def __post_init__(self) -> None:
        require_name(self.name, self.store)
        if not self.key:
            raise DeclarationError(f"{self.name} has no key; name its key columns in key=(…)")
        if not mentions(self.query, "affected"):
            raise DeclarationError(f"{self.name}: query never mentions affected; select only rows whose key is in it")
        for table, keys in self.affected_by.items():
            if not mentions(keys, "changed"):
                raise DeclarationError(
                    f"{self.name}: affected_by[{table!r}] never mentions changed: take the keys of its rows"
                )
        read = relations(self.query)
        if missing := read - set(self.affected_by):
            raise DeclarationError(
                f"{self.name} reads {listed(missing)} but does not say which keys a changed row there touches; "
                f"add {listed(missing)} to affected_by"
            )
        if idle := set(self.affected_by) - read:
            raise DeclarationError(
                f"{self.name}: affected_by names {listed(idle)}, which its query never reads; remove it"
            )
        if idle := set(self.mirror_indexes) - self.tables:
            raise DeclarationError(
                f"{self.name}: mirror_indexes names {listed(idle)}, a source table it never reads; remove it"
            )
        for column, embed in self.embeds.items():
            if embed.of not in self.affected_by or not embed.of.startswith("read_models."):
                raise DeclarationError(
                    f"{self.name}: {column} embeds {embed.of}, which must be a read model that affected_by names"
                )
        if self.store == "analytics":
            self._require_plain()

    @property
    def reference(self) -> str:
        """Its name in SQL and in other declarations."""
        return f"read_models.{self.name}"

    @property
    def sources(self) -> frozenset[str]:
        """The relations whose changes it takes in."""
        return frozenset(self.affected_by)

    @property
    def reads(self) -> frozenset[str]:
        """Every relation that it or one of its affected-key queries reads."""
        return self.sources.union(*map(relations, self.affected_by.values()))

    @property
    def tables(self) -> frozenset[str]:
        """The source tables among them."""
        return frozenset(name for name in self.reads if not is_declared(name))

    @property
    def histories(self) -> frozenset[str]:
        """The histories that its query reads."""
        return frozenset(_HISTORY.findall(self.query))

    @property
    def fingerprint(self) -> str:
        """Changes exactly when the declaration's meaning may have: the store rebuilds the model then."""
        parts = (
            self.columns,
            self.query,
            self.comment,
            *self.key,
            *self.indexes,
            *sorted(map(str, self.affected_by.items())),
            *sorted(map(str, self.embeds.items())),
            *filter(None, (self.storage,)),
        )
        return fingerprint(parts)

    def _require_plain(self) -> None:
        if models := {name for name in self.reads if name.startswith("read_models.")}:
            raise DeclarationError(
                f"{self.name} of the analytics store reads {listed(models)}; there, take mirror.…, or a rollup that is "
                "declared of that read model, as rollups.…"
            )
        if self.histories:
            raise DeclarationError(f"{self.name} of the analytics store reads a history; join it when you ask instead")
        if self.mirror_indexes or self.extensions or self.embeds or self.storage:
            raise DeclarationError(
                f"{self.name}: the analytics store has no mirror_indexes, extensions, embeds or storage; remove them"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """An append-only table made from one source table's changes: what happened, which no state can tell.

    ``query`` selects rows from the relation ``transition``: one row per change of the table in commit order, with
    ``old`` and ``new`` (the row before and after, NULL for none), ``at`` (the commit's time), ``end_lsn`` and ``place``
    (the commit's position, and the change's place in it). Each row selected must carry ``end_lsn`` and ``place``.
    In DuckDB, where it lies in the schema main, ``at`` is a keyword: write ``"at"``.
    """

    name: LiteralString
    of: LiteralString  #: the source table
    columns: LiteralString  #: columns and constraints, as between the parentheses of CREATE TABLE
    query: LiteralString
    comment: LiteralString
    indexes: tuple[LiteralString, ...] = ()
    store: StoreName = "serving"

    def __post_init__(self) -> None:
        require_name(self.name, self.store)
        if not mentions(self.query, "transition"):
            raise DeclarationError(f"{self.name}: query never mentions transition: take what happened there")

    @property
    def fingerprint(self) -> str:
        """Changes exactly when the declaration's meaning may have."""
        parts = (self.of, self.columns, self.query, *self.indexes)
        return fingerprint(parts)


@dataclass(frozen=True, slots=True)
class Declarations:
    """Everything declared for one store; names are unique, and what is read is declared."""

    read_models: tuple[ReadModel, ...] = ()
    histories: tuple[History, ...] = ()
    rollups: tuple[Rollup, ...] = ()

    def __post_init__(self) -> None:
        names = [declared.name for declared in (*self.read_models, *self.histories, *self.rollups)]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise DeclarationError(f"declared twice: {listed(doubled)}; give one of them another name")
        known = {history.name for history in self.histories}
        for model in self.read_models:
            if unknown := model.histories - known:
                raise DeclarationError(f"{model.name} reads history.{listed(unknown)}, which is not declared")
        for declared in (*self.read_models, *self.rollups):
            references = self._declared_for(declared.store).keys()
            if unknown := {name for name in declared.reads if is_declared(name)} - references:
                raise DeclarationError(
                    f"{declared.name} reads {listed(unknown)}, which is not declared for the {declared.store} store; "
                    "add it to Declarations(…), or correct the name"
                )
        _ = self.maintained
        if taken := {m.name for m in self.read_models if m.embeds and m.reference in self.captured}:
            raise DeclarationError(
                f"{listed(taken)} has embeds, and others take in its changes; do without one of them"
            )

    @property
    def tables(self) -> frozenset[str]:
        """Every source table that some declaration reads."""
        reads = [declared.reads for declared in (*self.read_models, *self.rollups)]
        named = frozenset[str]().union(*reads) | {history.of for history in self.histories}
        return frozenset(name for name in named if not is_declared(name))

    @property
    def maintained(self) -> tuple[ReadModel | Rollup, ...]:
        """Read models and rollups, each after all that it reads. Raises DeclarationError for a cycle."""
        declared = self._declared_for("serving") | self._declared_for("analytics")
        graph = {name: sorted(one.reads & declared.keys()) for name, one in declared.items()}
        try:
            return tuple(declared[name] for name in TopologicalSorter(graph).static_order())
        except CycleError as exc:
            circle = " reads ".join(reversed(exc.args[1]))
            raise DeclarationError(f"{circle}: none of them can be first; take one of these reads away") from exc

    @property
    def captured(self) -> frozenset[str]:
        """The declared relations whose old and new rows another declaration takes in."""
        sources = [declared.sources for declared in (*self.read_models, *self.rollups)]
        return frozenset(name for name in frozenset[str]().union(*sources) if is_declared(name))

    def readers_of(self, relations: Collection[str]) -> frozenset[str]:
        """The names of all read models and rollups that read one of these, or something that does."""
        read, found = set(relations), set[str]()
        for declared in self.maintained:
            if not read.isdisjoint(declared.reads):
                read.add(declared.reference)
                found.add(declared.name)
        return frozenset(found)

    def tables_beneath(self, declared: ReadModel | Rollup) -> frozenset[str]:
        """The source tables that one of them is made of, through rollups and other models too."""
        by_reference = self._declared_for(declared.store)
        found, waiting = set[str](), set(declared.reads)
        while waiting:
            name = waiting.pop()
            if is_declared(name):
                waiting |= by_reference[name].reads
            else:
                found.add(name)
        return frozenset(found)

    def fingerprints(self) -> dict[str, str]:
        """By name: changes when the meaning of the declaration, or of one it reads, may have."""
        found: dict[str, str] = {}
        for declared in self.maintained:
            read = sorted(name.partition(".")[2] for name in declared.reads if is_declared(name))
            own = declared.fingerprint
            found[declared.name] = fingerprint((own, *(found[name] for name in read))) if read else own
        return found | {history.name: history.fingerprint for history in self.histories}

    def of_store(self, store: StoreName) -> Declarations:
        """Those of one store."""
        return Declarations(
            tuple(m for m in self.read_models if m.store == store),
            tuple(h for h in self.histories if h.store == store),
            tuple(r for r in self.rollups if r.store == store),
        )

    def _declared_for(self, store: StoreName) -> dict[str, ReadModel | Rollup]:
        declared = (one for one in (*self.rollups, *self.read_models) if one.store == store)
        return {one.reference: one for one in declared}
