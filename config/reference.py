"""docs/settings.md, written from the declarations of config/settings.py.

``python -m config.reference`` writes the file; with ``--check`` it only says, by its exit code, whether it is fresh.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic.fields import FieldInfo

from config.settings import ENV_PREFIX, Settings

DOCUMENT = Path(__file__).parents[1] / "docs" / "settings.md"

HEAD = f"""\
# Settings

Each is an environment variable `{ENV_PREFIX}…`; in `readside.toml` its name is in lower case and without the prefix. A value
comes from the first of these that has it: the command line, the environment, `.env`, `<data-dir>/run.toml` (what a running
native stack chose), `readside.toml`, the default. `./readside config` shows the effective ones and where each came from.

| variable | default | meaning |
|---|---|---|
"""


def reference() -> str:
    """The whole document."""
    return HEAD + "".join(row(name, field) for name, field in Settings.model_fields.items())


def row(name: str, field: FieldInfo) -> str:
    """One line of the table."""
    default = "" if field.default in (None, "", ()) else f"`{field.default}`"
    return f"| `{ENV_PREFIX}{name.upper()}` | {default} | {(field.description or '').replace('|', chr(92) + '|')} |\n"


def main() -> str | int:
    """Write the document, or with ``--check`` compare it; what is wrong, or 0."""
    if sys.argv[1:] != ["--check"]:
        DOCUMENT.write_text(reference())
    elif not DOCUMENT.exists() or DOCUMENT.read_text() != reference():
        return "docs/settings.md is stale; write it with: python -m config.reference"
    return 0


if __name__ == "__main__":
    sys.exit(main())
