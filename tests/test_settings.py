"""Settings: where a value comes from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from config import lock
from config.environment import environment_of
from config.settings import ENV_PREFIX, Settings


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working directory with no configuration but the test's."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(ENV_PREFIX + name.upper(), raising=False)
    return tmp_path


def test_the_nearer_source_wins(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [Settings().slot]
    (elsewhere / "readside.toml").write_text('slot = "file"')
    sources.append(Settings().slot)
    (elsewhere / ".readside").mkdir()
    (elsewhere / ".readside" / "run.toml").write_text('slot = "running"')
    sources.append(Settings().slot)
    running = lock.take(elsewhere / ".readside")  # before that, the file was left behind by a stack that was killed
    assert running is not None
    sources.append(Settings().slot)
    (elsewhere / ".env").write_text("READSIDE_SLOT=dotenv")
    sources.append(Settings().slot)
    monkeypatch.setenv("READSIDE_SLOT", "environment")
    sources.append(Settings().slot)
    running.close()
    assert sources == ["readside", "file", "file", "running", "dotenv", "environment"]


def test_the_secrets_of_compose_may_stand_in_the_same_file(elsewhere: Path) -> None:
    (elsewhere / ".env").write_text("POSTGRES_PASSWORD=x\nREADSIDE_SLOT=mine")
    assert Settings().slot == "mine"


@pytest.mark.parametrize(("file", "text"), [(".env", "READSIDE_SLOTT=mine"), ("readside.toml", 'slott = "mine"')])
def test_a_misspelt_setting_is_refused_by_name(elsewhere: Path, file: str, text: str) -> None:
    (elsewhere / file).write_text(text)
    with pytest.raises(ValidationError, match="slott"):
        Settings()


def test_a_child_gets_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(slot="mine", tables=("public.a", "public.b"), source_dsn=SecretStr("postgresql://u:p@h/d"))
    for name, value in environment_of(settings).items():
        if name.startswith(ENV_PREFIX):
            monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_a_secret_is_not_shown() -> None:
    assert "hidden-word" not in repr(Settings(source_dsn=SecretStr("postgresql://u:hidden-word@h/d")))
