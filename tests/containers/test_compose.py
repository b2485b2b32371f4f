"""docker-compose.yml, held to the compose specification and to the native stack, without a Docker daemon."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Set
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from config.settings import ENV_PREFIX, Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

ONE_SHOT = {"setup"}
#: Short names that the entry point of Debezium's image turns into the worker's properties, all others being CONNECT_….
CONNECT_SHORT_NAMES = {
    "BOOTSTRAP_SERVERS": "bootstrap.servers",
    "ADVERTISED_HOST_NAME": "rest.advertised.host.name",
    "GROUP_ID": "group.id",
    "CONFIG_STORAGE_TOPIC": "config.storage.topic",
    "OFFSET_STORAGE_TOPIC": "offset.storage.topic",
    "STATUS_STORAGE_TOPIC": "status.storage.topic",
    "KEY_CONVERTER": "key.converter",
    "VALUE_CONVERTER": "value.converter",
    "OFFSET_FLUSH_INTERVAL_MS": "offset.flush.interval.ms",
}
#: What is said at start by either stack: addresses, directories, names made anew each time.
PLACES = re.compile(
    r"bootstrap\.servers|listeners|advertised\.listeners|rest\.advertised\.host\.name|group\.id|log\.dirs"
    r"|(?:config|offset|status)\.storage\.topic|controller\.quorum\.voters"
)


def of_each_service(*, except_for: Set[str] = frozenset()) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", sorted(SERVICES.keys() - except_for))


def properties_of(name: str) -> dict[str, str]:
    """The Java properties file of this name in config/."""
    lines = (ROOT / "config" / name).read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if line.strip() and not line.lstrip().startswith("#"))
    return {key.strip(): value.strip() for key, value in pairs}


def properties_from(service: str, prefix: str) -> dict[str, str]:
    """The Java properties that an image makes of its PREFIX_SOME_NAME variables."""
    environment = SERVICES[service]["environment"]
    return {
        name.removeprefix(prefix).lower().replace("_", "."): value
        for name, value in environment.items()
        if name.startswith(prefix) and not name.endswith("HEAP_OPTS")
    }


def fixed(properties: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in properties.items() if not PLACES.fullmatch(name)}


def test_it_fulfils_the_compose_specification() -> None:
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(COMPOSE, json.loads(schema.read_text()))


@of_each_service()
def test_every_image_is_pinned_to_a_release(name: str) -> None:
    tag = SERVICES[name]["image"].rpartition(":")[2]
    assert re.match(r"\d+\.\d+", tag), f"{name}: pin {SERVICES[name]['image']} to a release"


def test_our_image_has_the_projects_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = {service["image"] for service in SERVICES.values() if "build" in service}
    assert ours == {f"readside:{project['version']}"}


@of_each_service(except_for=ONE_SHOT)
def test_a_long_running_service_has_a_health_check_that_looks_often_at_first(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period", "start_interval"} <= check.keys()


@of_each_service(except_for=ONE_SHOT)
def test_a_long_running_service_has_time_to_stop(name: str) -> None:
    assert "stop_grace_period" in SERVICES[name]


@of_each_service()
def test_no_service_runs_as_root_or_may_become_it(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@of_each_service(except_for={"kafka", "connect"})
def test_the_root_is_read_only(name: str) -> None:
    assert SERVICES[name]["read_only"] is True


@of_each_service()
def test_it_shares_the_hosts_network_and_publishes_nothing(name: str) -> None:
    assert SERVICES[name]["network_mode"] == "host"
    assert "ports" not in SERVICES[name]


def test_every_listener_is_on_loopback() -> None:
    postgres, kafka, connect = (SERVICES[name] for name in ("postgres", "kafka", "connect"))
    assert "listen_addresses=127.0.0.1" in postgres["command"]
    for listener in kafka["environment"]["KAFKA_LISTENERS"].split(","):
        assert "://127.0.0.1:" in listener
    assert connect["environment"]["CONNECT_LISTENERS"].startswith("http://127.0.0.1:")
    # Ours are at their defaults, and refuse any other.
    assert not re.search(r"READSIDE_\w+_ADDRESS", TEXT)


def test_everyone_is_where_our_defaults_look_for_them() -> None:
    fields = Settings.model_fields
    host, port = fields["postgres_address"].default.split(":")
    assert SERVICES["postgres"]["environment"]["PGPORT"] == port
    assert set(re.findall(r"@([\w.]+:\d+)/", TEXT)) == {f"{host}:{port}"}
    assert f"PLAINTEXT://{fields['kafka'].default}" in SERVICES["kafka"]["environment"]["KAFKA_LISTENERS"]
    assert SERVICES["connect"]["environment"]["CONNECT_LISTENERS"] == fields["connect_url"].default


def test_nothing_waits_by_the_clock() -> None:
    assert not re.search(r"\bsleep\b", TEXT)


@of_each_service()
def test_what_a_service_waits_for_exists_and_says_when_it_is_ready(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        ready = {"service_completed_successfully"} if other in ONE_SHOT else {"service_healthy", "service_started"}
        assert other in SERVICES
        assert how["condition"] in ready


@of_each_service(except_for={"connect"})  # its one such variable is the secret that the connector's configuration names
def test_every_setting_is_one_of_ours(name: str) -> None:
    ours = {ENV_PREFIX + field.upper() for field in Settings.model_fields}
    given = {key for key in SERVICES[name].get("environment", {}) if key.startswith(ENV_PREFIX)}
    assert given <= ours


def test_only_set_up_holds_the_administrators_password() -> None:
    holders = {name for name, service in SERVICES.items() if "POSTGRES_PASSWORD" in str(service.get("environment"))}
    assert holders == {"postgres", "setup"}


def test_the_example_names_each_secret_and_gives_none() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert set(example) == set(re.findall(r"\$\{(\w+)", TEXT))
    assert set(example.values()) == {""}


def test_compose_refuses_to_start_without_a_secret() -> None:
    used, required = (set(re.findall(pattern, TEXT)) for pattern in (r"\$\{(\w+)", r"\$\{(\w+):\?"))
    assert used == required


@pytest.mark.parametrize("volume", sorted(COMPOSE["volumes"]))
def test_a_named_volume_is_used(volume: str) -> None:
    assert any(f"{volume}:/" in str(service.get("volumes")) for service in SERVICES.values())


def test_connect_starts_with_fresh_internal_topics() -> None:
    script = SERVICES["connect"]["entrypoint"][-1]
    for kind in ("CONFIG", "OFFSET", "STATUS"):
        assert re.search(rf'export {kind}_STORAGE_TOPIC="readside-connect-\w+-\$\$start"', script)
    assert script.rstrip().endswith("exec /docker-entrypoint.sh start")


def test_the_connect_worker_is_set_as_in_the_native_stack() -> None:
    environment = SERVICES["connect"]["environment"]
    short = {CONNECT_SHORT_NAMES[name]: value for name, value in environment.items() if name in CONNECT_SHORT_NAMES}
    assert fixed(properties_from("connect", "CONNECT_") | short) == fixed(properties_of("connect.properties"))


def test_the_broker_reads_the_native_stacks_configuration_and_is_told_only_where_it_is() -> None:
    assert "./config/kafka.properties:/mnt/shared/config/server.properties:ro" in SERVICES["kafka"]["volumes"]
    assert fixed(properties_from("kafka", "KAFKA_")) == {}


def test_postgres_reads_the_native_stacks_configuration() -> None:
    postgres = SERVICES["postgres"]
    assert "config_file=/etc/readside/postgres.conf" in postgres["command"]
    assert "./config/postgres.conf:/etc/readside/postgres.conf:ro" in postgres["volumes"]
