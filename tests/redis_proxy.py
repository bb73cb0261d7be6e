"""A proxy in front of Redis that a test may cut, freeze or slow down.

async with RedisProxy(redis_url) as proxy:
    ...                             # the service is given proxy.url
    proxy.cut()                     # all connections are aborted, new ones too
    proxy.restore()
    proxy.freeze()                  # connections are accepted and get no reply
    proxy.thaw()
    proxy.delay = 0.5               # seconds by which each reply is delayed

Commands sent to a frozen proxy reach the server after `thaw`, as with a server that hung.
"""

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from urllib.parse import unquote, urlsplit


class RedisProxy:
    """The proxy; it counts connections (open, most at once, refused) and requests."""

    def __init__(self, redis_url: str) -> None:
        self.url = ""
        self.delay = 0.0
        self.connections = 0
        self.most_connections = 0
        self.refused = 0
        self.times_asked = 0
        self._server_url = urlsplit(redis_url)
        self._away = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Abort every connection, including new ones."""
        self._away = True
        for writer in self._writers:
            writer.transport.abort()

    def restore(self) -> None:
        """Accept connections again after `cut`."""
        self._away = False

    def freeze(self) -> None:
        """Accept connections and data, and forward nothing."""
        self._flows.clear()

    def thaw(self) -> None:
        """Forward everything that was held back, and everything after it."""
        self._flows.set()

    async def __aenter__(self) -> "RedisProxy":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._away:
            self.refused += 1
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.connections += 1
        self.most_connections = max(self.most_connections, self.connections)
        from_server, to_server = await self._open()
        both = {writer, to_server}
        self._writers |= both
        pumps = [
            asyncio.create_task(_pump(reader, to_server, self._asked)),
            asyncio.create_task(_pump(from_server, writer, self._replied)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.connections -= 1
            self._writers -= both
            for pump in pumps:
                pump.cancel()
            for end in both:
                end.transport.abort()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _open(self) -> tuple[StreamReader, StreamWriter]:
        url = self._server_url
        if url.scheme == "unix":
            return await asyncio.open_unix_connection(unquote(url.path))
        return await asyncio.open_connection(url.hostname, url.port)

    async def _asked(self, data: bytes) -> None:
        self.times_asked += 1
        await self._flows.wait()

    async def _replied(self, data: bytes) -> None:
        await asyncio.sleep(self.delay)
        await self._flows.wait()


async def _pump(
    source: StreamReader, sink: StreamWriter, hold: Callable[[bytes], Awaitable[None]]
) -> None:
    """Forward data until one end closes, each piece after awaiting `hold`."""
    with contextlib.suppress(ConnectionError):
        while data := await source.read(1 << 16):
            await hold(data)
            sink.write(data)
            await sink.drain()
