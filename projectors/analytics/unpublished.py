"""Which rows the published copy does not have yet as they are: what it is brought up by, instead of being written anew.

The keys of a read model's recomputed rows are kept beside it, in the store's file and in its transactions, each with the
number of the copy of the file that will be the first to have it. So a copy says itself what is new in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from projectors.analytics.connection import Connection
from projectors.analytics.quoting import quoted
from projectors.read_model import ReadModel

_MOST_KEYS = 50_000  # of a read model between two copies; with more, all of it is written anew


class Unpublished:
    """One publisher's. The writing thread calls what takes a connection, in a transaction, and ``copied`` between two."""

    def __init__(self, *, kept: bool = True) -> None:
        """``kept``: False where nothing is published, and so nothing noted."""
        self._kept = kept
        self._number = 1  # of the next copy
        self._noted: dict[str, int] = {}  # how many keys, by read model, of which the next copy is the first to have it
        self._anew: set[str] = set()  # tables that the next copy is to have written anew
        self._settled = 0  # the last copy of which it is known whether it was published
        self._forgotten = 0  # what is not noted any more
        self._columns: dict[str, str] = {}  # by read model, the one of the copy's number: the last
        self._keys: dict[
            str, str
        ] = {}  # by read model, what selects its key from keys of the types that its query takes

    def begin(self, connection: Connection, models: Iterable[ReadModel], names: Iterable[str]) -> None:
        """Note nothing of what an earlier owner of the file noted: all these tables of it are written anew.

        ``models``: those of which keys are noted from here on.
        """
        if not self._kept:
            return
        models = list(models)
        self._anew.clear()
        self._noted.clear()
        self._columns = {model.name: quoted(_other_than(model.key)) for model in models}
        self._keys = {model.name: _cast(connection, model) for model in models}
        connection.execute_all(
            "drop schema if exists unpublished cascade",
            "create schema unpublished",
            'create or replace table readside.unpublished ("table" varchar not null, copy ubigint not null)',
            *(
                f"create table unpublished.{quoted(model.name)} as "
                f"select {', '.join(map(quoted, model.key))}, 0::ubigint as {self._columns[model.name]} "
                f"from main.{quoted(model.name)} limit 0"
                for model in models
            ),
        )
        for name in names:
            self.note_all(connection, name)

    def noting(self, connection: Connection, model: ReadModel, count: int) -> Sequence[str]:
        """What notes keys in the temporary table ``affected``, some or all of ``count``, as those of rows computed anew."""
        if not self._kept or not count or model.name in self._anew:
            return ()
        noted = self._noted[model.name] = self._noted.get(model.name, 0) + count
        if noted > _MOST_KEYS:
            self.note_all(connection, model.name)
            return ()
        return (f"insert into unpublished.{quoted(model.name)} {self._keys[model.name]}, {self._number} from affected",)

    def note_all(self, connection: Connection, name: str) -> None:
        """Any row of the table may be another."""
        if self._kept and name not in self._anew:
            row = {"name": name, "copy": self._number}
            connection.execute("insert into readside.unpublished values ($name, $copy)", row)
            self._anew.add(name)

    def forget(self, connection: Connection) -> None:
        """What need not be noted any more: copies that were settled since the last time have it, or never will."""
        settled = self._settled
        if settled <= self._forgotten:
            return
        connection.execute_all(
            f"delete from readside.unpublished where copy <= {settled}",
            *(
                f"delete from unpublished.{quoted(name)} where {column} <= {settled}"
                for name, column in self._columns.items()
            ),
        )
        self._forgotten = settled

    def rolled_back(self) -> None:
        """What the transaction noted is not noted."""
        self._noted.clear()
        self._anew.clear()

    def copied(self) -> int:
        """The file was copied; the copy's number."""
        number, self._number = self._number, self._number + 1
        self._noted.clear()
        self._anew.clear()
        return number

    def settled(self, number: int) -> None:
        """That copy was published, or it was not, and the next one is written whole. From any thread."""
        self._settled = number


def _cast(connection: Connection, model: ReadModel) -> str:
    # What a query leaves out may have a key that the model's column cannot hold: then there is no such row.
    types = {name.casefold(): kind for name, kind in connection.columns(f"main.{quoted(model.name)}")}
    return "select " + ", ".join(f"try_cast({quoted(name)} as {types[name.casefold()]})" for name in model.key)


def _other_than(key: Collection[str]) -> str:
    taken, name = {one.casefold() for one in key}, "copy"  # DuckDB tells names apart by their letters alone
    while name in taken:
        name += "_"
    return name
