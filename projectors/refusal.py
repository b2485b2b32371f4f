"""Which of a batch's changes a store does not take."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping

from cdc.assembler import Transaction
from cdc.change import Change
from cdc.errors import Refused
from projectors.batch import Segment, net_changes

RecordOf = tuple[str, int, int]  # schema.table, partition of its topic, offset


class Undo(Exception):
    """What was tried is not to be kept."""


def refused_among(
    changes: Iterable[Change],
    attempt: Callable[[Iterable[Segment]], None],
    histories_of: Container[str],
    most_changes: int,
) -> Mapping[RecordOf, str]:
    """By table, partition and offset, those that are refused by themselves, and why.

    ``attempt`` applies segments as net_changes makes them for the store, and raises Undo, or Refused. What is refused is
    halved until it is one: about twenty attempts for each that is found among a million.
    """
    found: dict[RecordOf, str] = {}
    undecided = [[change for change in changes if change.op not in ("t", "x")]]
    while undecided:
        some = undecided.pop()
        if not some:
            continue
        try:
            attempt(net_changes([Transaction(0, 0, 0, some)], histories_of, most_changes))
        except Undo:
            continue
        except Refused as exc:
            if len(some) == 1:
                found[some[0].table, some[0].partition, some[0].offset] = str(exc)
            else:
                undecided += [some[: len(some) // 2], some[len(some) // 2 :]]
    return found
