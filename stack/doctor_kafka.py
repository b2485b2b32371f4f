"""What ``readside doctor`` checks at Kafka and Kafka Connect: topics and how long they keep records, plugin, connector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import httpx
from kafka.admin import ConfigResource, ConfigResourceType

from cdc.catalog import Table, control_topic, message_topic, topics_of, transaction_topic
from cdc.connect import Connect
from cdc.connector import connector_config, require_unbroken
from cdc.errors import ReadsideError
from cdc.topics import admin
from config.settings import Settings
from queries.topics import require_listener
from stack.finding import Finding, Severity, looked

_PLUGIN = "io.debezium.connector.postgresql.PostgresConnector"
_PROVEN = "3.7."  # of Debezium, under which the encodings were measured
_ROOMY_BYTES = 1024 * 1024
_TIMEOUT_S = 3.0


def kafka(settings: Settings, tables: tuple[Table, ...]) -> list[Finding]:
    """The broker and the topics of these tables; none of them need exist yet."""
    return looked(
        "kafka", f"readside up --only kafka  # expected at {settings.kafka}", lambda: _kafka(settings, tables)
    )


def connect(settings: Settings, tables: tuple[Table, ...]) -> list[Finding]:
    """The worker, Debezium's plugin in it, the connector and its task."""
    return looked(
        "connect",
        f"readside up --only kafka,connect  # expected at {settings.connect_url}",
        lambda: _connect(settings, tables),
    )


def _kafka(settings: Settings, tables: tuple[Table, ...]) -> Iterator[Finding]:
    require_listener(settings.kafka)
    prefix = settings.topic_prefix
    wanted = {*topics_of(prefix, tables), transaction_topic(prefix), message_topic(prefix), control_topic(prefix)}
    with admin(settings.kafka) as client:
        untyped = cast("Any", client)
        found = {topic["name"]: topic for topic in untyped.describe_topics() if topic["name"] in wanted}
        if not found:
            yield Finding(
                part="kafka", severity="note", what=f"there is no topic {prefix}.… yet; the first start makes them"
            )
            return
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in found]
        configs = untyped.describe_configs(resources, config_filter="all")
    for missing in sorted(wanted - found.keys()):
        yield _found("degraded", f"topic {missing} is missing; the connector's supervision makes it", "readside up")
    for name in (transaction_topic(prefix), message_topic(prefix), control_topic(prefix)):
        if name in found and len(found[name]["partitions"]) != 1:
            what = (
                f"topic {name} has {len(found[name]['partitions'])} partitions: its order is the commit order, so one"
            )
            yield _found("down", what, f"kafka-topics.sh --bootstrap-server {settings.kafka} --delete --topic {name}")
    by_topic = next(iter(configs.values()), {})
    for name in sorted(found):
        yield from _kept(settings, name, by_topic.get(name, {}))
    yield from _unbroken(settings)


def _kept(settings: Settings, topic: str, config: Mapping[str, Any]) -> Iterator[Finding]:
    values = {key: str(entry["value"]) for key, entry in config.items()}
    wanted = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    alter = f"kafka-configs.sh --bootstrap-server {settings.kafka} --alter --topic {topic} --add-config"
    if wrong := {key: values[key] for key, value in wanted.items() if values.get(key, value) != value}:
        is_now = ", ".join(f"{key}={value}" for key, value in wrong.items())
        severity: Severity = "down" if "cleanup.policy" in wrong else "degraded"
        what = f"topic {topic} has {is_now}: records may go before a store has read them"
        yield _found(severity, what, f"{alter} {','.join(f'{key}={wanted[key]}' for key in wrong)}")
    if int(values.get("max.message.bytes", _ROOMY_BYTES)) < _ROOMY_BYTES - 1024:
        most = values["max.message.bytes"]
        what = f"topic {topic} takes records of {most} bytes at most: a larger row stops the connector"
        yield _found("degraded", what, f"{alter} max.message.bytes=33554432")


def _unbroken(settings: Settings) -> Iterator[Finding]:
    try:
        require_unbroken(settings)
    except ReadsideError as exc:
        yield _found("down", str(exc))


def _connect(settings: Settings, tables: tuple[Table, ...]) -> Iterator[Finding]:
    with httpx.Client(base_url=settings.connect_url, timeout=_TIMEOUT_S, trust_env=False) as client:
        plugins: list[dict[str, str]] = client.get("/connector-plugins").raise_for_status().json()
        configured = client.get(f"/connectors/{settings.connector}/config")
    versions = [plugin["version"] for plugin in plugins if plugin["class"] == _PLUGIN]
    if not versions:
        what = "the worker has no Debezium connector for PostgreSQL"
        yield _connect_found(
            "down", what, "put debezium-connector-postgres 3.7 in the worker's plugin.path and restart it"
        )
    elif not versions[0].startswith(_PROVEN):
        what = f"Debezium {versions[0]} is in use; how it writes each type was measured with {_PROVEN}x"
        yield _connect_found(
            "degraded", what, "put debezium-connector-postgres 3.7 in the worker's plugin.path and restart it"
        )
    connect = Connect(settings.connect_url, settings.connector)
    try:
        status = connect.status()
    finally:
        connect.close()
    if status is None:
        yield _connect_found("note", f"there is no connector {settings.connector} yet; the first start makes it")
        return
    if status.failed:
        yield _connect_found(
            "down",
            f"connector {settings.connector} failed: {status.cause}",
            "readside status  # its supervision restarts it at its slot",
        )
    elif status.stopped:
        # No advice to resume it: that begins at the stored offset (docs/decisions/0005).
        yield _connect_found(
            "down",
            f"connector {settings.connector} is STOPPED",
            "readside status  # its supervision starts it again at its slot",
        )
    elif (status.connector, status.task) != ("RUNNING", "RUNNING"):
        what = f"connector {settings.connector} is {status.connector}, its task {status.task}"
        yield _connect_found("down", what, f"curl -X PUT {settings.connect_url}/connectors/{settings.connector}/resume")
    if configured.is_success and tables:
        yield from _drifted(settings, tables, configured.json())


def _drifted(settings: Settings, tables: tuple[Table, ...], configured: Mapping[str, str]) -> Iterator[Finding]:
    wanted = connector_config(settings, tables, configured.get("snapshot.mode", "no_data"))
    if other := sorted(key for key, value in wanted.items() if configured.get(key) != value):
        what = f"connector {settings.connector} is not configured as cdc/connector.toml says: {', '.join(other)}"
        yield _connect_found(
            "down", what, f"curl -X DELETE {settings.connect_url}/connectors/{settings.connector}  # it is made again"
        )


def _found(severity: Severity, what: str, fix: str = "") -> Finding:
    return Finding(part="kafka", severity=severity, what=what, fix=fix)


def _connect_found(severity: Severity, what: str, fix: str = "") -> Finding:
    return Finding(part="connect", severity=severity, what=what, fix=fix)
