"""Every setting of readside: name, default, unit, meaning. Nothing else reads the environment.

A value comes from the first of these that has it: a command-line option, the environment (``READSIDE_…``), ``.env``,
``<data-dir>/run.toml`` (what a running native stack chose: ports, credentials), ``readside.toml``, the default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ByteSize, Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from config import lock

ENV_PREFIX = "READSIDE_"
RUN_FILE = "run.toml"


class Settings(BaseSettings):
    """The effective settings; immutable, read once in a process's ``main`` and passed on as an argument."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_file=".env",
        toml_file="readside.toml",
        frozen=True,
        extra="forbid",
        dotenv_filtering="match_prefix",  # .env also holds the secrets of docker-compose.yml
    )

    data_dir: Path = Field(default=Path(".readside"), description="Directory of all state of the native stack.")

    writer_address: str = Field(default="127.0.0.1:8001", description="host:port the writer's HTTP server listens on.")
    queries_address: str = Field(default="127.0.0.1:8002", description="host:port of the query server and dashboard.")
    analytics_address: str = Field(
        default="127.0.0.1:8003", description="host:port of the analytics projector's own SQL endpoint (internal)."
    )
    serving_metrics_address: str = Field(default="127.0.0.1:8004", description="The same of the serving one's metrics.")
    postgres_address: str = Field(default="127.0.0.1:5433", description="host:port of the native stack's PostgreSQL.")
    postgres_bin: Path | None = Field(
        default=None,
        description="Folder with postgres and initdb (15 or newer); empty: the one that came as a Python package.",
    )
    postgres_user: str = Field(
        default="",
        description="System user that PostgreSQL runs as when root starts the stack; empty: postgres, else nobody.",
    )
    java_home: Path | None = Field(
        default=None,
        description="Java runtime (17 or newer) for Kafka and Connect; empty: the one that came as a Python package.",
    )
    java_class_cache: bool = Field(
        default=True,
        description="Whether the first stop of Kafka and Connect keeps their loaded classes in the cache directory: it "
        "takes some ten seconds longer, each later start some five seconds less. From Java 25 on.",
    )
    kafka: str = Field(default="127.0.0.1:9092", description="Kafka bootstrap servers, comma separated.")
    connect_url: str = Field(default="http://127.0.0.1:8083", description="Base URL of Kafka Connect's REST interface.")

    auth: Literal["open", "jwt"] = Field(
        default="open",
        description="Who may use writer and query server: open, whoever reaches them, which is loopback alone; or jwt, the "
        "bearers of tokens, by their roles.",
    )
    jwt_key: SecretStr | None = Field(
        default=None,
        description="What tokens are verified with: an HS256 secret of 32 bytes or more, or an RSA public key in PEM for "
        "RS256.",
    )
    jwks: Path | None = Field(
        default=None, description="Instead of a single key, a JWKS file; read at start, a token's kid chooses."
    )
    jwt_issuer: str = Field(default="", description="The iss that tokens must have; empty: any.")
    jwt_audience: str = Field(default="", description="The aud that tokens must have; empty: any.")
    token: SecretStr | None = Field(
        default=None, description="Bearer token that readside's own commands send to writer and query server."
    )

    admin_dsn: SecretStr | None = Field(
        default=None, description="libpq URL that may create roles and databases; used by set-up alone."
    )
    writer_dsn: SecretStr | None = Field(
        default=None, description="libpq URL of the writer's role on the write database."
    )
    source_dsn: SecretStr | None = Field(
        default=None,
        description="libpq URL of the captured database, as a role that may replicate and read its tables.",
    )
    serving_dsn: SecretStr | None = Field(
        default=None, description="libpq URL of the serving store, as the projector's role."
    )
    queries_dsn: SecretStr | None = Field(
        default=None, description="libpq URL of the serving store, as the read-only role of the query server."
    )

    reader: Literal["kafka-python", "confluent-kafka"] = Field(
        default="kafka-python",
        description="Library by which the projectors read Kafka; confluent-kafka is faster, and an optional extra.",
    )
    topic_prefix: str = Field(
        default="shop", description="Debezium's topic.prefix; topics are <prefix>.<schema>.<table>."
    )
    topic_partitions: int = Field(default=4, ge=1, description="Partitions of each table topic that readside creates.")
    connector: str = Field(default="readside", description="Name of the connector in Kafka Connect.")
    slot: str = Field(default="readside", description="Logical replication slot on the captured database.")
    publication: str = Field(default="readside", description="Publication on the captured database.")
    connector_batch: int = Field(
        default=16,
        ge=1,
        description="Most records Debezium hands on at once (max.batch.size); 1 is freshest where processors are idle.",
    )
    tables: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Captured tables, schema.table, comma separated; empty: every one with a primary key."
    )
    wal_alarm_s: float = Field(
        default=600.0, ge=0, description="Seconds of room for WAL below which capture is degraded."
    )
    wal_alarm_bytes: ByteSize = Field(
        default=ByteSize(2 << 30), ge=0, description="WAL kept for the slot, in bytes, from which capture is degraded."
    )
    history_lost: Literal["stop", "snapshot"] = Field(
        default="stop",
        description="What the connector's supervision does when the slot is gone or lost: stop, or take a new snapshot.",
    )
    schema_changes: Literal["carry-on", "park"] = Field(
        default="carry-on",
        description="What happens when a table changes at the source: the mirror follows, with a new snapshot where only "
        "that can tell what rows hold; or the table and the read models of it stand still while the rest goes on.",
    )
    parked_on_change: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Tables, schema.table, comma separated, that are parked when they change, whatever the rest does.",
    )
    poison: Literal["stop", "park"] = Field(
        default="stop",
        description="What happens to a change that cannot be applied: the store stops before it; or it is parked as a dead "
        "letter with all that follows for its row, and the rest goes on (docs/decisions/0014).",
    )
    parked_on_poison: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Tables, schema.table, comma separated, whose changes are parked when they cannot be applied, whatever "
        "the rest does.",
    )
    dead_letters: int = Field(
        default=10_000, ge=0, description="Most changes that a store keeps parked; at the next one it stops."
    )
    models: str = Field(default="projectors.read_models", description="Python package that declares the read models.")

    rebuild_swaps: bool = Field(
        default=True,
        description="Whether a read model that is rebuilt because its declaration changed takes the old one's place by "
        "itself; false: when `readside rebuild` says so, after its diff.",
    )
    rebuild_former_s: float = Field(
        default=3_600, ge=0, description="Seconds for which the former version is kept up, to be rolled back to."
    )

    verify_interval_s: float = Field(
        default=30.0, ge=0, description="Seconds from one round of the background verification to the next; 0: none."
    )
    verify_share: float = Field(
        default=0.1, gt=0, le=1, description="Most of its time that it spends in queries of the source, as a fraction."
    )
    verify_repair: bool = Field(default=False, description="Whether it repairs what it finds (docs/decisions/0019).")

    pulse_interval_s: float = Field(default=0.5, gt=0, description="Seconds between two pulses through the pipeline.")
    batch_changes: int = Field(default=10_000, ge=1, description="Most changes applied in one store transaction.")
    analytics_batch_changes: int = Field(
        default=50_000, ge=1, description="The same of the analytics projector, which gains more from large ones."
    )
    buffered_changes: int = Field(
        default=100_000,
        ge=1,
        description="Changes of unfinished transactions that a projector keeps in memory before it lets partitions wait.",
    )
    analytics_interval_s: float = Field(
        default=0.5, ge=0, description="Least seconds between two commits of the analytics projector."
    )

    analytics_nice: int = Field(
        default=10,
        ge=0,
        le=19,
        description="How far the analytics projector steps back where processors are short, as nice(1) counts: screens come "
        "first.",
    )

    analytics_copy_interval_s: float = Field(
        default=2.0,
        gt=0,
        description="Least seconds between two published copies of the analytics store (<data-dir>/analytics.duckdb).",
    )

    otlp_endpoint: str = Field(
        default="", description="URL of an OpenTelemetry collector (OTLP/HTTP); empty: no traces."
    )
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$", description="The shop's one currency, ISO 4217.")
    idempotency_ttl_s: float = Field(
        default=86_400, gt=0, description="Seconds for which the answer to an Idempotency-Key is kept."
    )
    writer_connections: int = Field(
        default=8, ge=1, description="Most connections of the writer to the write database."
    )
    token_wait_s: float = Field(
        default=2.0, ge=0, description="Seconds a read waits for its token without Prefer: wait."
    )
    token_wait_max_s: float = Field(
        default=30.0, ge=0, description="Longest Prefer: wait that is honoured, in seconds."
    )
    token_waiters: int = Field(
        default=64, ge=1, description="Most reads of the serving store that wait at once; beyond them 503."
    )
    analytics_calls: int = Field(
        default=16, ge=1, description="Most requests of the query server to the analytics store at once; then 503."
    )
    queries_connections: int = Field(
        default=8, ge=2, description="Most connections of the query server to the serving store."
    )
    body_limit_bytes: int = Field(default=65_536, ge=1, description="Largest HTTP request body; above it 413.")
    sql_timeout_s: float = Field(default=10.0, gt=0, description="Longest run of one ad hoc statement, in seconds.")
    sql_rows: int = Field(default=10_000, ge=1, description="Most rows one ad hoc statement answers with.")
    sql_bytes: ByteSize = Field(
        default=ByteSize(32 << 20), ge=1, description="Largest answer of one ad hoc statement, in bytes."
    )
    sql_memory: ByteSize = Field(
        default=ByteSize(256 << 20), ge=16 << 20, description="Most memory that one ad hoc statement takes, in bytes."
    )
    sql_statements: int = Field(
        default=2, ge=1, description="Most ad hoc statements that run at once; beyond them 503."
    )
    analytics_memory: ByteSize = Field(
        default=ByteSize(192 << 20),
        ge=64 << 20,
        description="DuckDB's memory_limit in the analytics projector, in bytes; beyond it DuckDB uses a file. Ten million "
        "order lines with changes to any of them want 512MiB.",
    )

    @property
    def analytics_copy(self) -> Path:
        """The published copy of the analytics store."""
        return self.data_dir / "analytics.duckdb"

    @field_validator("tables", "parked_on_change", "parked_on_poison", mode="before")
    @classmethod
    def _split_tables(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("jwks")
    @classmethod
    def _found_from_anywhere(cls, value: Path | None) -> Path | None:
        """Absolute: servers are started in a directory of their own."""
        return value and value.absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources as the module's docstring says."""
        early: dict[str, Any] = {**dotenv_settings(), **env_settings(), **init_settings()}
        data_dir = Path(early.get("data_dir", cls.model_fields["data_dir"].default))
        # What a stack left behind that was killed would lead nowhere, or to somebody else.
        running = (
            [TomlConfigSettingsSource(settings_cls, data_dir / RUN_FILE)] if lock.holder(data_dir) is not None else []
        )
        return (
            init_settings,
            env_settings,
            dotenv_settings,
            *running,
            TomlConfigSettingsSource(settings_cls, Path("readside.toml")),
        )
