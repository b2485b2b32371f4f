"""A TCP proxy before one address: the network between a server and everybody else, which a test can cut and mend."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Generator
from contextlib import contextmanager, suppress
from typing import Any

_CHUNK = 1 << 16
Way = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Listens at one host:port and passes on to another."""

    def __init__(self, listens: str, leads_to: str) -> None:
        self._listens, self._leads_to = listens.rsplit(":", 1), leads_to.rsplit(":", 1)
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """End every connection, and refuse new ones."""
        self._run(self._cut())

    def mend(self) -> None:
        """Let connections through; nothing where they are let through already."""
        self._run(self._mend())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _mend(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._pass_on, self._listens[0], int(self._listens[1]))

    async def _cut(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for end in self._ends:
            end.transport.abort()

    async def _pass_on(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            server, to_server = await asyncio.open_connection(self._leads_to[0], int(self._leads_to[1]))
        except OSError:
            to_client.transport.abort()
            return
        ends = {to_client, to_server}
        self._ends |= ends
        try:
            await asyncio.gather(_copy(client, to_server), _copy(server, to_client))
        finally:
            self._ends -= ends
            for end in ends:
                end.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()  # either side's end is the end of both


@contextmanager
def proxied(listens: str, leads_to: str) -> Generator[Proxy]:
    """A proxy that lets everything through, in a thread of its own."""
    proxy = Proxy(listens, leads_to)
    loop = proxy._loop  # pyright: ignore[reportPrivateUsage]
    thread = threading.Thread(target=loop.run_forever, name="proxy")
    thread.start()
    try:
        proxy.mend()
        yield proxy
    finally:
        proxy.cut()
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.1), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
