"""The Dockerfile, and that what it leaves out is not missed, without a Docker daemon."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LEFT_OUT = re.findall(r"--no-install-package=([\w-]+)", DOCKERFILE)

#: Refuses the named modules, as if their distributions were not installed, then imports one module.
IMPORT_WITHOUT = """
import importlib, sys
left_out, module = sys.argv[1].split(","), sys.argv[2]
sys.modules.update(dict.fromkeys(left_out))
importlib.import_module(module)
"""


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} +(.*)$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize(
    "module", ["writer", "cdc", "projectors", "queries", "stack", "stack.probe"], ids=lambda name: str(name)
)
def test_each_process_starts_without_the_packages_left_out(module: str) -> None:
    entry = module if "." in module else f"{module}.__main__"
    left_out = ",".join(name.replace("-", "_") for name in LEFT_OUT)
    ran = subprocess.run(
        [sys.executable, "-c", IMPORT_WITHOUT, left_out, entry], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


def test_what_is_left_out_is_among_the_dependencies() -> None:
    names = {re.split(r"[=<>\[;]", requirement)[0] for requirement in PROJECT["project"]["dependencies"]}
    assert LEFT_OUT
    assert set(LEFT_OUT) <= names


def test_it_holds_every_shipped_package() -> None:
    copied = {line.split()[0] for line in instructions("COPY") if len(line.split()) == 2}
    shipped = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(shipped) <= copied
    assert {f"!{name}" for name in shipped} <= set((ROOT / ".dockerignore").read_text().splitlines())


def test_its_bases_are_pinned_and_one() -> None:
    bases = {line.split()[0] for line in instructions("FROM")}
    assert len(bases) == 1
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", bases.pop())


def test_it_installs_exactly_the_lock_and_copies_the_packages() -> None:
    syncs = [line for line in instructions("RUN") if "uv sync" in line]
    assert all("--frozen --no-dev" in line for line in syncs)
    assert "--no-editable" in syncs[-1]


def test_it_runs_as_a_user_without_a_name_and_in_exec_form() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert all(command.startswith("[") for command in instructions("CMD") + instructions("ENTRYPOINT"))


def test_its_label_has_the_projects_version() -> None:
    assert f'image.version="{PROJECT["project"]["version"]}"' in DOCKERFILE
