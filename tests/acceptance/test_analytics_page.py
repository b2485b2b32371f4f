"""The code of docs/analytics.md, run from top to bottom against the real stack; its SQL is tests/stack/test_guide.py's."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Any

import duckdb
import httpx

from tests.backends import Stack
from tests.databases import eventually

PAGE = Path(__file__).parents[2] / "docs" / "analytics.md"


def test_the_pages_code_does_what_it_says(stack: Stack) -> None:
    stack.wait_healthy()
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4
    copy = stack.settings.analytics_copy
    person = {"email": f"{uuid.uuid4().hex}@example.org", "first_name": "Ada", "last_name": "Lovelace"}
    httpx.post(f"http://{stack.settings.writer_address}/users", json=person, trust_env=False).raise_for_status()
    eventually(lambda: tells_of(copy, person["email"]), what="the copy has the user", deadline_s=60.0, every_s=0.5)
    names: dict[str, Any] = {
        "QUERIES": f"http://{stack.settings.queries_address}",
        "DATA_DIR": stack.settings.data_dir,
    }
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["as_of"] is not None


def tells_of(copy: Path, email: str) -> bool:
    """Whether the published copy has a customer."""
    if not copy.exists():
        return False
    with duckdb.connect(copy, read_only=True) as store:
        return store.execute("select 1 from customers where email = $email", {"email": email}).fetchone() is not None
