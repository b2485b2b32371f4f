"""``python -m cdc.reading_process BOOTSTRAP PREFIX REQUESTS ANSWERS``: reads Kafka for the process that started it.

The last two are descriptors of pipes: a request's ends this process when nobody can send one any more. See cdc/reading.py.
"""

from __future__ import annotations

import gc
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from multiprocessing.connection import Connection
from typing import Any

from cdc.catalog import message_topic, transaction_topic
from cdc.decoding import decoded
from cdc.errors import Fatal, ReadsideError
from cdc.reader import KafkaPythonReader, LogReader, Record
from cdc.reading import Answer, Failure, Records, Request, decode_request, encode
from config.logs import configure_logging

logger = logging.getLogger(__name__)


def main(opened: Callable[[str], LogReader] = KafkaPythonReader) -> None:
    """Read with the reader that ``opened`` makes of BOOTSTRAP, until nobody can ask any more."""
    bootstrap, prefix, requests, answers = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # at a terminal it is for the projector, which ends this one
    configure_logging()
    gc.set_threshold(100_000, 50, 100)  # many objects, hardly any circles of them but those the reader knows of
    with Connection(int(requests), writable=False) as asked, Connection(int(answers), readable=False) as said:
        _serve(lambda: opened(bootstrap), prefix, asked, said)


def _serve(opened: Callable[[], LogReader], prefix: str, asked: Connection, said: Connection) -> None:
    """Answer requests until there can be none; the first answer is to none, and says whether the reader was opened."""
    with suppress(EOFError, BrokenPipeError), ExitStack() as held:
        try:
            reader = held.enter_context(closing(opened()))
        except Exception as exc:
            said.send_bytes(encode(_failure(exc)))
            return
        gc.freeze()  # what there is now is not looked through each time
        said.send_bytes(encode(Answer(None)))
        while True:
            said.send_bytes(_answered(reader, prefix, decode_request(asked.recv_bytes())))


def _answered(reader: LogReader, prefix: str, request: Request) -> bytes:
    try:
        if request.method == "poll":
            return encode(Records(_polled(reader, prefix, *request.arguments)))
        return encode(Answer(_called(reader, request.method, *request.arguments)))
    except Exception as exc:
        return encode(_failure(exc))


def _polled(reader: LogReader, prefix: str, timeout_s: float, most_records: int) -> Any:
    transactions, messages = transaction_topic(prefix), message_topic(prefix)
    return [
        decoded(record, transactions, messages) if isinstance(record, Record) else record
        for record in reader.poll(timeout_s, most_records)
    ]


def _called(reader: LogReader, method: str, argument: Any) -> object:
    match method:
        case "assign":
            return reader.assign({(topic, number): offset for topic, number, offset in argument})
        case "only":
            return reader.only(None if argument is None else {(topic, number) for topic, number in argument})
        case "begin_offsets":
            return _flat(reader.begin_offsets([(topic, number) for topic, number in argument]))
        case "end_offsets":
            return _flat(reader.end_offsets([(topic, number) for topic, number in argument]))
        case "partitions":
            return reader.partitions(argument)
        case "topic_ids":
            return reader.topic_ids(argument)
        case _:
            raise AssertionError(f"{method} is no method of LogReader")


def _flat(offsets: dict[tuple[str, int], int]) -> list[tuple[str, int, int]]:
    return [(*partition, offset) for partition, offset in offsets.items()]


def _failure(exc: Exception) -> Failure:
    if isinstance(exc, ReadsideError):
        return Failure(type(exc).__name__, str(exc))
    # Not Transient: it would come again. The log tells where, and no value.
    logger.error("the process that reads Kafka failed", exc_info=exc, extra={"action": "reading_failed"})
    said = f"the process that reads Kafka failed: {type(exc).__name__}; its log says where"
    return Failure(Fatal.__name__, said)


if __name__ == "__main__":
    main()
