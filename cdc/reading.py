"""``LogReader`` in a process of its own, which fetches and decodes beside the projector that applies (decision 0023).

Requests and answers are MessagePack, in order, each request answered once, through two pipes: whichever end goes, the other
one notices. While more is at hand, polls are asked ahead, so that the next records are read while these are taken in.
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
from cdc.errors import ReadsideError, Transient
from cdc.partitions import Partition
from cdc.reader import Decoded, Record, more_at_hand
from config.environment import bare_environment

_PIPE = 1024 * 1024  # bytes that wait in it; the most that Linux gives everybody (pipe(7))
_AHEAD = 2  # polls that are under way, or answered, while more is at hand
_AHEAD_S = 0.01  # how long they wait for records
_MOST = 5_000  # records in an answer: they lie in memory here and there
_LONGEST_S = 60.0  # a client asks Kafka twice at most for one answer, and waits for 30 s each time


class Request(Struct, array_like=True):
    """A method of LogReader, and its arguments."""

    method: str
    arguments: tuple[Any, ...] = ()


class Records(Struct, array_like=True, tag=0):
    """What a poll gave."""

    value: list[Record | Decoded]


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
    """``LogReader`` that asks a process it starts (cdc.reading_process). What that raises is raised here.

    Nothing but polls is ever asked ahead, and what those gave is received before anything else is asked: the process never
    waits to be listened to by somebody who waits to be listened to.
    """

    def __init__(self, bootstrap: str, prefix: str, *, program: str = "cdc.reading_process") -> None:
        """``prefix``: of the topics; ``program``: the module that reads.

        A broker that does not answer is told by the first call. Raises OSError where no process can be started.
        """
        theirs, self._requests = Pipe(duplex=False)
        self._answers, ours = Pipe(duplex=False)
        with theirs, ours:
            with suppress(AttributeError, OSError):
                fcntl.fcntl(ours.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
            descriptors = theirs.fileno(), ours.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", program, bootstrap, prefix, *map(str, descriptors)],
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                env=bare_environment(),
            )
        self._only: frozenset[Partition] | None = None
        self._opened = False
        self._asked = 0  # polls that are not answered yet
        self._polled: deque[Reply] = deque()  # their answers that nobody has taken

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def ready(self) -> bool:
        """Whether it has begun, or ended: the next call waits for neither."""
        return self._opened or self._answers.poll(0)

    @property
    def ahead(self) -> bool:
        """Whether it reads records, or has read some, for polls to come."""
        return bool(self._polled) or self._asked > 0

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        """See LogReader."""
        self._call("assign", [(*partition, offset) for partition, offset in offsets.items()])
        self._only = None
        self._polled.clear()  # asked before

    def poll(self, timeout_s: float, most_records: int) -> Sequence[Record | Decoded]:
        """See LogReader."""
        self._open()
        if not self.ahead:
            self._ask_ahead(1, timeout_s, most_records)
        if not self._polled:
            self._receive_poll()
        records = _value_of(self._polled.popleft())
        if more_at_hand(records):
            self._ask_ahead(_AHEAD, min(timeout_s, _AHEAD_S), most_records)
        return records

    def begin_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """See LogReader."""
        return _by_partition(self._call("begin_offsets", list(partitions)))

    def only(self, partitions: Collection[Partition] | None) -> None:
        """See LogReader; what was asked for ahead comes all the same."""
        wanted = None if partitions is None else frozenset(partitions)
        if wanted != self._only:
            self._call("only", None if wanted is None else list(wanted))
            self._only = wanted

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

    def _open(self) -> None:
        if not self._opened:
            _value_of(self._receive())
            self._opened = True

    def _call(self, method: str, argument: object) -> Any:
        self._open()
        while self._asked:
            self._receive_poll()
        self._send(method, argument)
        return _value_of(self._receive())

    def _ask_ahead(self, polls: int, timeout_s: float, most_records: int) -> None:
        while len(self._polled) + self._asked < polls:
            self._send("poll", timeout_s, min(most_records, _MOST))
            self._asked += 1

    def _receive_poll(self) -> None:
        self._polled.append(self._receive())
        self._asked -= 1

    def _send(self, method: str, *arguments: object) -> None:
        with _ended(self._process):
            self._requests.send_bytes(encode(Request(method, arguments)))

    def _receive(self) -> Reply:
        with _ended(self._process):
            if self._answers.poll(_LONGEST_S):
                return decode_reply(self._answers.recv_bytes())
        raise Transient(f"the process that reads Kafka has not answered for {_LONGEST_S:.0f} s")


def _value_of(reply: Reply) -> Any:
    """What a method gave. Raises what it raised."""
    if not isinstance(reply, Failure):
        return reply.value
    kind = getattr(errors, reply.kind)
    assert issubclass(kind, ReadsideError)
    raise kind(reply.message)


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Generator[None]:
    try:
        yield
    except (EOFError, OSError) as exc:
        code = process.poll()
        raise Transient(
            f"the process that reads Kafka has ended{'' if code is None else f' (exit code {code})'}"
        ) from exc


def _by_partition(offsets: Iterable[tuple[str, int, int]]) -> dict[Partition, int]:
    return {(topic, number): offset for topic, number, offset in offsets}
