"""The code of docs/consistency.md, run from top to bottom against the real stack."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.backends import Stack

PAGE = Path(__file__).parents[2] / "docs" / "consistency.md"


def test_the_pages_code_does_what_it_says(stack: Stack) -> None:
    stack.wait_healthy()
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 6
    names: dict[str, Any] = {
        "WRITER": f"http://{stack.settings.writer_address}",
        "QUERIES": f"http://{stack.settings.queries_address}",
    }
    try:
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)
    finally:
        for client in ("writer", "queries"):
            names[client].close()
