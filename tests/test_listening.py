"""Where servers may listen, and how they refuse to start where they must not."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import SecretStr

from config.environment import environment_of
from config.listening import NotAllowed, host_and_port
from config.settings import Settings
from tests.tokens import SECRET

REACHABLE = ["0.0.0.0:8001", "192.0.2.1:8001", "[::]:8001", "example.org:80", "localhost.example.org:80"]


@pytest.mark.parametrize("address", REACHABLE)
def test_an_open_server_listens_on_loopback_alone(address: str) -> None:
    with pytest.raises(NotAllowed, match=r"READSIDE_WRITER_ADDRESS.*set READSIDE_AUTH=jwt and a key.*use 127\.0\.0\.1"):
        host_and_port(Settings(writer_address=address), "writer_address")


@pytest.mark.parametrize("address", REACHABLE)
def test_a_server_that_asks_for_tokens_listens_anywhere(address: str) -> None:
    host, port = host_and_port(Settings(queries_address=address, auth="jwt"), "queries_address")
    assert address in (f"{host}:{port}", f"[{host}]:{port}")


@pytest.mark.parametrize("address", ["8001", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", ":8001", "127.0.0.1:²", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    for auth in ("open", "jwt"):
        with pytest.raises(NotAllowed, match="host:port"):
            host_and_port(Settings.model_validate({"writer_address": address, "auth": auth}), "writer_address")


def test_loopback_addresses_are_accepted() -> None:
    addresses = ("127.0.0.1:8001", "localhost:0", "[::1]:8001", "127.0.0.2:1")
    assert [host_and_port(Settings(writer_address=address), "writer_address") for address in addresses] == [
        ("127.0.0.1", 8001),
        ("localhost", 0),
        ("::1", 8001),
        ("127.0.0.2", 1),
    ]


@pytest.mark.parametrize("server", ["writer", "queries"])
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"writer_address": "0.0.0.0:0", "queries_address": "0.0.0.0:0"}, "READSIDE_AUTH=jwt and a key"),
        ({"auth": "jwt"}, "READSIDE_JWT_KEY"),
        ({"auth": "jwt", "jwt_key": SecretStr(SECRET[:31])}, "32"),
    ],
    ids=["reachable and open", "no key", "short key"],
)
def test_a_server_that_must_not_start_says_why_in_a_line(server: str, settings: dict[str, Any], said: str) -> None:
    dsn = SecretStr("postgresql://nobody@127.0.0.1:1/nothing")
    environment = environment_of(Settings(writer_dsn=dsn, queries_dsn=dsn, **settings))
    ran = subprocess.run(
        [sys.executable, "-m", server], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (1, "", 1), ran.stderr
    assert ran.stderr.startswith(f"{server}: ")
    assert said in ran.stderr
    assert SECRET[:31] not in ran.stderr
