"""``readside config``: the effective settings and where each came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_settings import (
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    TomlConfigSettingsSource,
)

from config.identity import Identity
from config.keys import NoKey
from config.listening import NotAllowed, host_and_port
from config.settings import RUN_FILE, Settings
from stack import terminal
from stack.errors import StackError
from stack.terminal import Output, data, talk

_MASK = "********"


def show(settings: Settings, *, output: Output | None, check: bool) -> int:
    """Print every setting, its value and its source; secrets masked."""
    if check:
        require_usable(settings)
        talk.print("the settings are valid")
        return 0
    rows = [
        {"name": name, "value": _shown(getattr(settings, name)), "from": origin}
        for name, origin in _origins(settings).items()
    ]
    if terminal.chosen(output) == "json":
        terminal.print_json(rows)
    else:
        data.print(terminal.table(("setting", "value", "from"), [tuple(row.values()) for row in rows]))
    return 0


def require_usable(settings: Settings) -> None:
    """Raises StackError for settings that a server would refuse to start with."""
    try:
        Identity(settings)
        host_and_port(settings, "writer_address")
        host_and_port(settings, "queries_address")
    except (NoKey, NotAllowed) as exc:
        raise StackError(str(exc)) from exc


def _origins(settings: Settings) -> dict[str, str]:
    """The source of each setting's value."""
    run_file = settings.data_dir / RUN_FILE
    sources: dict[str, PydanticBaseSettingsSource] = {
        "environment": EnvSettingsSource(Settings),
        ".env": DotEnvSettingsSource(Settings),
        str(run_file): TomlConfigSettingsSource(Settings, run_file),
        "readside.toml": TomlConfigSettingsSource(Settings, Path("readside.toml")),
    }
    values = {origin: source() for origin, source in sources.items()}
    return {name: _origin(name, values, settings) for name in Settings.model_fields}


def _origin(name: str, values: dict[str, dict[str, Any]], settings: Settings) -> str:
    first = next((origin for origin, known in values.items() if name in known), "default")
    if name == "data_dir" and first == "default" and settings.data_dir != Settings.model_fields[name].default:
        return "command line"
    return first


def _shown(value: object) -> object:
    if isinstance(value, SecretStr):
        return _MASK
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return value if value is None or isinstance(value, int | float | str) else str(value)
