"""How responses leave a server: the head with the body, and not later than the server means to send it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from config.serving import Http
from stack.ports import free
from tests.databases import eventually

BODY = b"all there is"
WAITING = 10.0  # seconds that nothing here takes


@pytest.fixture
def go_on() -> threading.Event:
    """Lets a slow response go on with its body."""
    return threading.Event()


@pytest.fixture
def client(go_on: threading.Event) -> Iterator[socket.socket]:
    """A connection to a server whose path /slow sends its head at once and its body when it is told to."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"%d" % len(BODY))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["path"] == "/slow":
            await asyncio.to_thread(go_on.wait, WAITING)
        await send({"type": "http.response.body", "body": BODY})

    (port,) = free()
    server = uvicorn.Server(uvicorn.Config(app, port=port, http=Http, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started)
        with socket.create_connection(("127.0.0.1", port), timeout=WAITING) as connection:
            yield connection
    finally:
        go_on.set()
        server.should_exit = True
        thread.join()


def received(connection: socket.socket, end: bytes) -> bytes:
    """What comes, up to ``end``."""
    data = b""
    while not data.endswith(end):
        more = connection.recv(65536)
        assert more, data
        data += more
    return data


def test_responses_are_whole_and_in_order(client: socket.socket) -> None:
    for _ in range(3):
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert received(client, BODY).count(b"HTTP/1.1 200 OK\r\n") == 1
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
    pipelined = received(client, BODY)
    if pipelined.count(BODY) == 1:
        pipelined += received(client, BODY)
    assert pipelined.count(b"HTTP/1.1 200 OK\r\n") == pipelined.count(BODY) == 2


def test_a_head_does_not_wait_for_a_body_that_is_long_in_coming(client: socket.socket, go_on: threading.Event) -> None:
    client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    assert received(client, b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
    go_on.set()
    assert received(client, BODY) == BODY


def test_a_last_response_is_whole_before_the_connection_ends(client: socket.socket) -> None:
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = received(client, BODY)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert client.recv(1) == b""


def test_what_is_no_request_is_refused(client: socket.socket) -> None:
    client.sendall(b"\x00\r\n\r\n")
    assert received(client, b"Invalid HTTP request received.").startswith(b"HTTP/1.1 400 ")
