"""Where a store stands: committed in the same store transaction as the rows it speaks of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from cdc.assembler import Transaction
from cdc.change import Change
from cdc.lsn import lsn_text as lsn_text
from cdc.lsn import lsn_value as lsn_value
from cdc.partitions import Partition
from projectors.letters import Asked, DeadLetter, Place
from projectors.refusal import RecordOf
from projectors.tally import Counts

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Phase = Literal["snapshot", "streaming"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A store's position."""

    phase: Phase  #: snapshot: nothing is loaded yet
    end_lsn: int  #: end of the last applied source transaction's commit record
    committed_us: int | None  #: its commit time at the source, microseconds since 1970 UTC
    changes: int  #: applied since ever
    rate: float  #: changes per second, lately
    state: dict[str, Any]  #: the assembler's
    #: What goes with the move to here, and is no part of the position: dead letters that are added and removed, and
    #: counts of records, now and then.
    parked: Sequence[DeadLetter] = ()
    released: Sequence[Place] = ()
    counts: Mapping[Partition, Counts] = field(default_factory=dict[Partition, Counts])

    @property
    def committed_at(self) -> datetime | None:
        """``committed_us`` as a time."""
        return None if self.committed_us is None else time_of(self.committed_us)


START = Checkpoint(phase="snapshot", end_lsn=0, committed_us=None, changes=0, rate=0.0, state={})


class Store(Protocol):
    """A store that read models live in. One thread uses it; every method but ``close`` raises Transient or Fatal."""

    @property
    def tables(self) -> frozenset[str]:
        """schema.table of every source table it keeps up; what is parked is told apart when it is open."""
        ...

    @property
    def former(self) -> Mapping[str, Mapping[str, str]]:
        """By table, once it is open: present column by former name."""
        ...

    @property
    def doubt(self) -> str | None:
        """Why, once it is open, what it holds cannot follow the source's tables without a new snapshot."""
        ...

    def open(self) -> Checkpoint:
        """Take the store over and say where it stands. Raises Fenced when another projector that lives holds it."""
        ...

    def load(self, changes: Iterable[Sequence[Change]], checkpoint: Callable[[], Checkpoint]) -> None:
        """Make the mirror a snapshot's rows, in one store transaction, and move to the checkpoint that is asked for when
        ``changes`` has ended. The first fills the store; a later one is applied as a difference: rows that it lacks are
        deleted, rows equal to it are left alone, and read models and histories follow what differs."""
        ...

    def prepare(self, transactions: Sequence[Transaction]) -> Callable[[Checkpoint], None]:
        """What ``apply`` does that needs no database, for it to be done beside the batch before; returns the rest of it,
        to be called once."""
        ...

    def apply(self, transactions: Sequence[Transaction], checkpoint: Checkpoint) -> None:
        """Apply whole source transactions and move the checkpoint, in one store transaction: all of it or nothing.

        Raises Refused when it does not take a value; it has to be opened again then unless ``refused`` finds the changes.
        """
        ...

    def refused(self, changes: Iterable[Change]) -> Mapping[RecordOf, str]:
        """Which of these it does not take by themselves, and why; nothing is stored."""
        ...

    def dead_letters(self) -> Sequence[DeadLetter]:
        """All of them, in the order of the source's commits."""
        ...

    def asked(self) -> Sequence[Asked]:
        """What an operator wants done with dead letters, and is not done yet; what was asked for is noted as taken up."""
        ...

    def counts(self) -> Mapping[Partition, Counts]:
        """What became of the records read so far, as of a checkpoint."""
        ...

    def attend(self) -> bool:
        """Called again and again between two batches: do some of what is under way in the store itself, such as a rebuild,
        for no longer than a commit may wait; False when nothing is to be done at once."""
        ...

    def rest(self) -> None:
        """Called again and again while there is nothing to apply: a store that others can write to shows that this
        projector lives, and notices that it was replaced."""
        ...

    def close(self) -> None:
        """Let the store go."""
        ...


def time_of(us: int) -> datetime:
    """A time from microseconds since 1970 UTC."""
    return _EPOCH + timedelta(microseconds=us)
