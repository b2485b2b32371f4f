"""The pipeline as ``status`` and ``GET /health`` show it: components, hops, read models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from psycopg.conninfo import conninfo_to_dict, make_conninfo

#: unknown: the settings do not say where it is, so nobody looked; it makes nothing worse.
State = Literal["ok", "unknown", "degraded", "down"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where everything is."""

    writer: str
    queries: str
    #: libpq URLs an operator can use, passwords and all; see ``Health.masked``.
    shop_dsn: str | None
    serving_dsn: str | None
    kafka: str
    connect: str
    analytics_copy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A process of the stack. ``pid`` and ``restarts`` are known where the native stack's supervisor runs it."""

    name: str
    state: State
    #: Why it is not ok and what to do; empty when it is.
    why: str = ""
    pid: int | None = None
    restarts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A step of the data's way. What cannot be known is None."""

    name: str
    state: State
    #: Why it is not ok and what to do; empty when it is.
    why: str = ""
    #: Changes per second, lately.
    rate: float | None = None
    lag_changes: int | None = None
    lag_seconds: float | None = None
    #: What this hop alone has to tell, units in the names.
    figures: Mapping[str, str | int | None] = field(default_factory=dict[str, str | int | None])


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRebuild:
    """A read model's next version, which is built beside the one that serves."""

    #: keys (they are listed), rows (they are computed), indexes (they are made), built (it waits for the others' or for
    #: an operator's word).
    state: str
    done: int
    total: int | None
    #: Rows per second.
    rate: float | None
    eta_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A read model in its store. ``rows`` is exact to some thousands and an estimate above; the analytics store's may be
    some seconds old.
    """

    name: str
    store: str
    version: int | None
    as_of: str | None
    rows: int
    #: Why rows of it may be behind the rest: a parked table, dead letters; None when none is.
    incomplete: str | None = None
    rebuild: ModelRebuild | None = None
    #: When the background verification compared it last; None when it has not.
    verified: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What the background verification found of a read model, or of a mirrored table as mirror.TABLE."""

    name: str
    store: str
    #: When it was compared last.
    at: str
    #: Rows that it has, and those of them that differed then.
    rows: int
    differences: int
    #: Rows that were found to differ since ever, and those of them that were equal at a later look.
    found: int
    repaired: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Everything at one moment."""

    addresses: Addresses
    components: tuple[Component, ...]
    hops: tuple[Hop, ...]
    models: tuple[Model, ...]
    #: Of both stores; nothing before the first round.
    verified: tuple[Verified, ...] = ()
    #: Parked changes, of both stores.
    dead_letters: int
    #: The worst of the components' and hops'.
    state: State
    took_ms: int

    def to_json(self) -> dict[str, Any]:
        """As ``status --output json`` prints it."""
        return asdict(self)

    @property
    def masked(self) -> Health:
        """The same without a password in it."""
        shop, serving = _without_password(self.addresses.shop_dsn), _without_password(self.addresses.serving_dsn)
        return replace(self, addresses=replace(self.addresses, shop_dsn=shop, serving_dsn=serving))


def worst(states: list[State]) -> State:
    """The state of a whole: down or degraded as soon as a part is."""
    return "down" if "down" in states else "degraded" if "degraded" in states else "ok"


def _without_password(dsn: str | None) -> str | None:
    if dsn is None:
        return None
    return make_conninfo("", **{name: value for name, value in conninfo_to_dict(dsn).items() if "password" not in name})
