"""A TCP proxy before one address: the network between a server and everybody else, which a test can cut and mend."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Generator
from contextlib import contextmanager, suppress
from typing import Any

_CHUNK = 1 << 16
_LOOK_S = 0.05


class Proxy:
    """Listens at one host:port and passes on to another; it refuses connections while the other does."""

    def __init__(self, listens: str, leads_to: str) -> None:
        self._listens, self._leads_to = listens.rsplit(":", 1), leads_to.rsplit(":", 1)
        self._loop = asyncio.new_event_loop()
        self._whole = True
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """End every connection, and refuse new ones."""
        self._run(self._cut())

    def mend(self) -> None:
        """Let connections through again."""
        self._whole = True

    @contextmanager
    def running(self) -> Generator[None]:
        """Let connections through, in a thread of its own, until the block ends."""
        thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        thread.start()
        watching = asyncio.run_coroutine_threadsafe(self._watch(), self._loop)
        try:
            yield
        finally:
            watching.cancel()
            self._run(self._cut())
            self._run(asyncio.sleep(_LOOK_S))  # those whose connections were ended come to their end
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _watch(self) -> None:
        while True:
            if self._whole and self._server is None:
                with suppress(OSError):
                    _, probe = await asyncio.open_connection(*self._leads_to)
                    probe.transport.abort()
                    self._server = await asyncio.start_server(self._pass_on, *self._listens)
            await asyncio.sleep(_LOOK_S)

    async def _cut(self) -> None:
        self._whole = False
        self._refuse()
        for end in self._ends:
            end.transport.abort()

    def _refuse(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def _pass_on(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            server, to_server = await asyncio.open_connection(*self._leads_to)
        except OSError:
            self._refuse()
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
