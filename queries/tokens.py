"""Read-your-writes tokens and what else a request demands of freshness, from its headers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Header
from pydantic import BaseModel, Field

from config.settings import Settings
from queries.problems import Problem

_TOKEN = re.compile(r"v1\.([0-9]{0,20})\.([0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8})", re.ASCII)
_WAIT = re.compile(r"wait\s*=\s*\"?([0-9]{1,9}(?:\.[0-9]{1,9})?)\"?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """The position of one write. A store contains it once it stands at ``lsn``, or has applied ``xid``."""

    #: Low 32 bits of the writing transaction's id, as Debezium reports ids; None when the writer gave none.
    xid: int | None
    #: A position in the source's WAL read after the commit, so never before the transaction's end.
    lsn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a read must contain before it is answered, and how long it may be waited for."""

    token: Token | None = None
    min_version: int | None = None
    wait_s: float = 0.0
    allow_stale: bool = False

    @property
    def anything(self) -> bool:
        """Whether the state as it is might not do."""
        return self.token is not None or self.min_version is not None

    @property
    def waited_for(self) -> Token | None:
        """The token whose commit makes reading again worth it; None when any commit might."""
        return self.token if self.min_version is None else None


class ReadHeaders(BaseModel):
    """The request headers that every read route understands."""

    token: str | None = Field(None, alias="Readside-Token", description="As a write answered it: wait until it shows.")
    prefer: list[str] = Field(
        [], alias="Prefer", description="`wait=S` seconds at most; `allow-stale` rather than 503."
    )
    if_none_match: str | None = Field(None, alias="If-None-Match", description="ETag of the state the caller has.")


Headers = Annotated[ReadHeaders, Header()]


def parse_token(text: str) -> Token:
    """The token of a ``Readside-Token`` header; refuses what no writer gave out."""
    match = _TOKEN.fullmatch(text.strip())
    if match is None:
        raise Problem("malformed-token", "Readside-Token is not of the form v1.<xid>.<lsn>.")
    xid, lsn = match.groups()
    return Token(xid=int(xid) & 0xFFFF_FFFF if xid else None, lsn=lsn.upper())


def demand_of(headers: ReadHeaders, settings: Settings, min_version: int | None = None) -> Demand:
    """The demand of a request. A preference that is not understood is ignored, as RFC 7240 section 2 asks."""
    # Their names are the same in any case, and parameters of theirs mean nothing here.
    preferences = [part.partition(";")[0].strip().lower() for line in headers.prefer for part in line.split(",")]
    waits = [float(match[1]) for part in preferences if (match := _WAIT.fullmatch(part))]
    return Demand(
        token=parse_token(headers.token) if headers.token is not None else None,
        min_version=min_version,
        wait_s=min(waits[0] if waits else settings.token_wait_s, settings.token_wait_max_s),
        allow_stale="allow-stale" in preferences,
    )
