"""Which rows the published copy does not have yet as they are: what it is brought up by, instead of being written anew.

The keys of a read model's recomputed rows are kept beside it, in the store's file and in its transactions, each with the
number of the copy of the file that will be the first to have it. So a copy says itself what is new in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from projectors.analytics.connection import Connection
from projectors.analytics.quoting import quoted
from projectors.read_model import ReadModel

_MOST_KEYS = 50_000  # of a read model in one batch; with more, all of it is written anew


class Unpublished:
    """One publisher's. The writing thread calls what takes a connection, in a transaction, and ``copied`` between two."""

    def __init__(self, *, kept: bool = True) -> None:
        """``kept``: False where nothing is published, and so nothing noted."""
        self._kept = kept
        self._number = 1  # of the next copy
        self._published = 0  # of the last one that was
        self._forgotten = 0  # what is not noted any more
        self._columns: dict[str, str] = {}  # by read model, the one of the copy's number: the last

    def begin(self, connection: Connection, models: Iterable[ReadModel], names: Iterable[str]) -> None:
        """Note nothing of what an earlier owner of the file noted: all these tables of it are written anew.

        ``models``: those of which keys are noted from here on.
        """
        if not self._kept:
            return
        models = list(models)
        self._columns = {model.name: quoted(_other_than(model.key)) for model in models}
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
        if not self._kept or not count:
            return ()
        if count > _MOST_KEYS:
            self.note_all(connection, model.name)
            return ()
        return (f"insert into unpublished.{quoted(model.name)} select *, {self._number} from affected",)

    def note_all(self, connection: Connection, name: str) -> None:
        """Any row of the table may be another."""
        if self._kept:
            row = {"name": name, "copy": self._number}
            connection.execute("insert into readside.unpublished values ($name, $copy)", row)

    def forget(self, connection: Connection) -> None:
        """What was published since the last time need not be noted any more."""
        published = self._published
        if published <= self._forgotten:
            return
        connection.execute_all(
            f"delete from readside.unpublished where copy <= {published}",
            *(
                f"delete from unpublished.{quoted(name)} where {column} <= {published}"
                for name, column in self._columns.items()
            ),
        )
        self._forgotten = published

    def copied(self) -> int:
        """The file was copied; the copy's number."""
        number, self._number = self._number, self._number + 1
        return number

    def published(self, number: int) -> None:
        """That copy was published. From any thread."""
        self._published = number


def _other_than(key: Collection[str]) -> str:
    name = "copy"
    while name in key:
        name += "_"
    return name
