"""What a native stack will be: its components, its addresses and its credentials, as complete settings.

Given settings are kept; what is missing is filled in for the data directory's own PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Collection

from pydantic import SecretStr

from config.settings import Settings
from stack.credentials import passwords
from stack.errors import StackError
from stack.ports import free
from stack.postgres import SUPERUSER, dsn

NAMES = ("postgres", "kafka", "connect", "writer", "projector-serving", "projector-analytics", "queries")
_ADDRESSES = (
    "postgres_address",
    "kafka",
    "writer_address",
    "queries_address",
    "analytics_address",
    "serving_metrics_address",
)
_LOGINS = {
    "admin_dsn": ("postgres", SUPERUSER),
    "writer_dsn": ("shop", "shop_writer"),
    "source_dsn": ("shop", "readside_cdc"),
    "serving_dsn": ("readside", "readside_projector"),
    "queries_dsn": ("readside", "readside_queries"),
}


def chosen(only: str, settings: Settings) -> tuple[str, ...]:
    """The components to run: the named ones, or all; no writer on somebody else's database."""
    named = tuple(part.strip() for part in only.split(",") if part.strip())
    if unknown := set(named) - set(NAMES):
        raise StackError(f"no such component: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return tuple(name for name in NAMES if (name in named if named else name != "writer" or owns_source(settings)))


def owns_source(settings: Settings) -> bool:
    """True if the captured database is the reference application's, ours to set up and to write to."""
    return settings.source_dsn is None or settings.writer_dsn is not None


def completed(settings: Settings, components: Collection[str], *, ports: str = "fixed") -> Settings:
    """The settings of a stack of these components: every address, and a DSN for whatever its own PostgreSQL serves."""
    values: dict[str, object] = {"data_dir": settings.data_dir.resolve()}
    if ports == "auto":
        *numbers, connect = free(count=len(_ADDRESSES) + 1)
        values |= {name: f"127.0.0.1:{port}" for name, port in zip(_ADDRESSES, numbers, strict=True)}
        values["connect_url"] = f"http://127.0.0.1:{connect}"
    addressed = settings.model_copy(update=values)
    if "postgres" not in components:
        return addressed
    return addressed.model_copy(update=_own_dsns(addressed))


def _own_dsns(settings: Settings) -> dict[str, SecretStr]:
    known = passwords(settings.data_dir)
    ours = {name: login for name, login in _LOGINS.items() if getattr(settings, name) is None}
    if not owns_source(settings):
        ours.pop("writer_dsn", None)
    return {
        name: SecretStr(dsn(settings.postgres_address, database, role, known[role]))
        for name, (database, role) in ours.items()
    }
