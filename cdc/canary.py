"""Canaries: numbered logical messages that go the whole way of the data. A number that is missing is a hole.

A supervision of the connector numbers its canaries from 0 and sends one before each start of the connector, one when it
runs, and then one now and then (docs/decisions/0012). They are transactions of their own, commit in the order of their
numbers, and Debezium passes them on like rows; nothing is kept in the user's database. Whoever may connect to the source may
send such a message: a supervision notes itself in the control topic, which nobody else can, before its first canary.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import psycopg
from msgspec import Struct

from cdc.change import decode_message
from cdc.errors import BEGIN_ANEW, HistoryLost, Poison
from cdc.lsn import lsn_text

PREFIX = "readside.canary"
_LIVES_REMEMBERED = 16
_SUPERVISION = uuid.uuid4().hex[:12]  # this process, however often it begins anew: what is noted is kept for ever
_lives = itertools.count(1)


class _Canary(Struct):
    life: str
    number: int


class Sender:
    """The canaries of one life of a supervision: as long as its connection to the source.

    A source that failed over may have lost the last that it had committed; they are not missed where a new life begins.
    """

    supervision = _SUPERVISION  #: by which its lives are known

    def __init__(self, source: psycopg.Connection[Any]) -> None:
        """``source``: in autocommit mode, so that each canary is a transaction."""
        self._source = source
        self.life = f"{_SUPERVISION}-{next(_lives):06}"  #: by which its canaries are known
        self._number = 0

    def send(self) -> None:
        """Send the next one; after an error, which does not tell whether it was committed, the same again."""
        content = msgspec.json.encode(_Canary(self.life, self._number)).decode()
        self._source.execute(
            "select pg_logical_emit_message(true, %(prefix)s, %(content)s)", {"prefix": PREFIX, "content": content}
        )
        self._number += 1


class Watch:
    """What a store has seen of the canaries. Its state can be kept in a checkpoint and taken up again."""

    def __init__(self, state: Mapping[str, int] | None = None) -> None:
        """``state``: what ``state()`` gave; without one, the first canary that comes is as good as any."""
        self._highest = dict(state or {})
        self._others: dict[str, None] = {}  # lives of nobody's, of which the first canary was told

    def see(self, value: bytes, supervisions: Callable[[], Sequence[str]] = tuple) -> None:
        """Look at a record of the message topic, in its order. Raises HistoryLost when one before it never came, Poison.

        ``supervisions``: gives those that the control topic tells of, oldest first; none where a release before it did not
        note them. It is called for a life that is not remembered.
        """
        message = decode_message(value)
        if message.prefix != PREFIX:
            return
        try:
            canary = msgspec.json.decode(message.content, type=_Canary)
        except (msgspec.MsgspecError, RecursionError) as exc:
            raise Poison(f"not a canary of readside's: {type(exc).__name__}") from exc
        if canary.life in self._others:
            return
        noted = () if canary.life in self._highest else supervisions()
        if noted and _supervision(canary.life) not in noted:
            self._others[canary.life] = None
            if len(self._others) > _LIVES_REMEMBERED:
                del self._others[next(iter(self._others))]
            raise Poison(f"a canary of no supervision of readside's; more of the life {canary.life!r:.40} are not told")
        if self._highest and canary.number > (expected := self._expected(canary, noted)):
            raise HistoryLost(
                f"canary {canary.number} of {canary.life} came and canary {expected} never did: transactions before LSN "
                f"{lsn_text(message.lsn)} did not reach Kafka, the slot was moved or made anew; {BEGIN_ANEW}"
            )
        # Sent again after a restart, it is lower than what was seen.
        seen = self._highest.pop(canary.life, canary.number)
        self._highest[canary.life] = max(seen, canary.number)
        if len(self._highest) > _LIVES_REMEMBERED:
            del self._highest[min(self._highest, key=lambda life: _place(life, noted))]

    def _expected(self, canary: _Canary, noted: Sequence[str]) -> int:
        """The highest number that it may have."""
        if (seen := self._highest.get(canary.life)) is not None:
            return seen + 1
        # A life before one that is remembered was seen and forgotten, or came before this store's first: it is sent again.
        place = _place(canary.life, noted)
        return canary.number if any(_place(life, noted) > place for life in self._highest) else 0

    def state(self) -> dict[str, int]:
        """JSON-able: the highest number seen by life."""
        return dict(self._highest)


def _supervision(life: str) -> str:
    return life.partition("-")[0]


def _place(life: str, noted: Sequence[str]) -> tuple[int, str]:
    """In the order in which they began."""
    supervision = _supervision(life)
    return (noted.index(supervision), life) if supervision in noted else (-1, "")
