"""``LogReader`` in a process of its own, which fetches and decodes beside the projector that applies (decision 0023).

Requests and answers are MessagePack, in order, each request answered once, through two pipes: whichever end goes, the other
one notices. Records are asked for ahead while they come in large numbers, so that the next ones are read meanwhile.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections import deque
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Pipe
from typing import Any

import msgspec
from msgspec import Struct

from cdc import errors
from cdc.assembler import Partition
from cdc.errors import ReadsideError, Transient
from cdc.reader import Decoded, Record
from config.environment import bare_environment

_PIPE = 1024 * 1024  # bytes that wait in it; the most that Linux gives everybody (pipe(7))
_MANY = 1_000  # records in an answer: more are at hand
_AHEAD = 2  # requests for records that are under way then
_MOST = 5_000  # records in an answer: they lie in memory here and there
_LONGEST_S = 120.0  # longer than the clients wait for Kafka


class Request(Struct, array_like=True):
    """A method of LogReader, and its arguments."""

    method: str
    arguments: tuple[Any, ...] = ()


class Records(Struct, array_like=True, tag=0):
    """What a poll gave."""

    records: list[Record | Decoded]


class Answer(Struct, array_like=True, tag=1):
    """What another method gave."""

    value: Any


class Failure(Struct, array_like=True, tag=2):
    """The error that a method raised."""

    kind: str  #: a class of cdc.errors
    message: str


Reply = Records | Answer | Failure

encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode


class ReadingProcess:
    """``LogReader`` that asks a process it starts (cdc.reading_process). What that raises is raised here."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        """``prefix``: of the topics. A broker that does not answer is told by the first call."""
        theirs, self._requests = Pipe(duplex=False)
        self._answers, ours = Pipe(duplex=False)
        with theirs, ours:
            with suppress(AttributeError, OSError):
                fcntl.fcntl(ours.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
            descriptors = theirs.fileno(), ours.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cdc.reading_process", bootstrap, prefix, *map(str, descriptors)],
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                env=bare_environment(),
            )
        self._only: frozenset[Partition] | None = None
        self._asked = deque(["open"])  # methods that are not answered yet
        self._polled: deque[Records | Failure] = deque()  # polls' answers that nobody has taken

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def ready(self) -> bool:
        """Whether it has begun, or ended: the next call waits for neither."""
        return "open" not in self._asked or self._answers.poll(0)

    @property
    def ahead(self) -> bool:
        """Whether it reads records, or has read some, for polls to come."""
        return bool(self._polled) or "poll" in self._asked

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        """See LogReader."""
        self._call("assign", [(*partition, offset) for partition, offset in offsets.items()])
        self._only = None
        self._polled.clear()  # asked before

    def poll(self, timeout_s: float, most_records: int) -> Sequence[Record | Decoded]:
        """See LogReader."""
        most_records = min(most_records, _MOST)
        if not self._polled and "poll" not in self._asked:
            self._ask("poll", timeout_s, most_records)
        while not self._polled:
            self._receive("poll")
        polled = self._polled.popleft()
        if isinstance(polled, Failure):
            raise _error_of(polled)
        if len(polled.records) >= _MANY:
            for _ in range(_AHEAD - len(self._polled) - self._asked.count("poll")):
                self._ask("poll", timeout_s, most_records)
        return polled.records

    def begin_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """See LogReader."""
        return _by_partition(self._call("begin_offsets", list(partitions)))

    def only(self, partitions: Collection[Partition] | None) -> None:
        """See LogReader; what was asked for ahead comes all the same."""
        wanted = None if partitions is None else frozenset(partitions)
        if wanted != self._only:
            self._only = wanted
            self._ask("only", None if wanted is None else list(wanted))

    def end_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """See LogReader."""
        return _by_partition(self._call("end_offsets", list(partitions)))

    def partitions(self, topic: str) -> list[Partition]:
        """See LogReader."""
        return [(name, number) for name, number in self._call("partitions", topic)]

    def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """See LogReader."""
        return self._call("topic_ids", list(topics))

    def close(self) -> None:
        """See LogReader; the process has nothing that it would have to bring to an end."""
        self._process.kill()
        self._process.wait()
        self._requests.close()
        self._answers.close()

    def _call(self, method: str, argument: object) -> Any:
        self._ask(method, argument)
        while True:
            answer = self._receive(method)
            if not self._asked:
                return answer.value if isinstance(answer, Answer) else None

    def _ask(self, method: str, *arguments: object) -> None:
        with _ended(self._process):
            self._requests.send_bytes(encode(Request(method, arguments)))
        self._asked.append(method)

    def _receive(self, wanted: str) -> Reply:
        """The next answer, a poll's also kept for whoever polls. Raises what another method raised."""
        with _ended(self._process):
            if not self._answers.poll(_LONGEST_S):
                raise Transient(f"the process that reads Kafka has not answered {wanted} for {_LONGEST_S:.0f} s")
            answer = decode_reply(self._answers.recv_bytes())
        if self._asked.popleft() == "poll":
            assert not isinstance(answer, Answer)
            self._polled.append(answer)
        elif isinstance(answer, Failure):
            raise _error_of(answer)
        return answer


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Generator[None]:
    try:
        yield
    except (EOFError, OSError) as exc:
        code = process.poll()
        raise Transient(
            f"the process that reads Kafka has ended{'' if code is None else f' (exit code {code})'}"
        ) from exc


def _error_of(failure: Failure) -> ReadsideError:
    kind = getattr(errors, failure.kind)
    assert issubclass(kind, ReadsideError)
    return kind(failure.message)


def _by_partition(offsets: Iterable[tuple[str, int, int]]) -> dict[Partition, int]:
    return {(topic, number): offset for topic, number, offset in offsets}
