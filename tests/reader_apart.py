"""``python -m tests.reader_apart BEHAVIOUR PREFIX REQUESTS ANSWERS``: a reading process with a reader for a test."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from cdc.errors import Transient
from cdc.partitions import Partition
from cdc.reader import LogReader, Record
from cdc.reading_process import main


class _Reader:
    """``large``: polls bring more than a pipe holds, for ever; ``fails``: polls raise what nobody expects."""

    def __init__(self, behaviour: str) -> None:
        self._behaviour = behaviour
        self._offset = 0

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        self._offset = sum(offsets.values())

    def poll(self, timeout_s: float, most_records: int) -> list[Record]:
        if self._behaviour == "fails":
            raise ZeroDivisionError("a row's value")
        first, self._offset = self._offset, self._offset + most_records
        return [Record(("t", 0), offset, None, bytes(500), []) for offset in range(first, self._offset)]

    def only(self, partitions: Collection[Partition] | None) -> None:
        return

    def begin_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(partitions, 0)

    def end_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(partitions, 1 << 40)

    def partitions(self, topic: str) -> list[Partition]:
        return [(topic, number) for number in range(3_000)]

    def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        return dict.fromkeys(topics, "one")

    def close(self) -> None:
        return


def _opened(behaviour: str) -> LogReader:
    if behaviour == "breaks":
        raise ZeroDivisionError("a row's value")
    if behaviour == "refuses":
        raise Transient("Kafka does not answer")
    return _Reader(behaviour)


if __name__ == "__main__":
    main(_opened)
