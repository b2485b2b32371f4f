"""Who holds a port, as a refused start names it."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest

from stack.ports import holder


def test_holder_is_named_though_a_process_ended_since_all_were_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    listed = [str(ended.pid), "acpi", str(os.getpid())]
    monkeypatch.setattr(os, "listdir", lambda _path: listed)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert holder(taken.getsockname()[1]).startswith(f"pid {os.getpid()} (")


def test_port_that_nobody_listens_on_has_no_holder_that_is_known() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert holder(port) == "another process"
