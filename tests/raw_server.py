"""A server on a real socket that sends exactly the bytes that a test gives it.

async with raw_server(replies(b"HTTP/1.1 204 None", END), hangs_up) as server:
    ...                                     # the first connection, then all further ones
    assert server.requests[0].startswith("POST /v1 HTTP/1.1")
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import anyio

from app.infra.http.endpoint import Endpoint

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
Play: TypeAlias = Callable[["RawServer", Reader, Writer], Awaitable[object]]


class RawServer:
    """Plays one script per connection, and repeats the last one.

    `left` is set once a client has disconnected; `secure` has the ALPN protocol of each connection.
    """

    def __init__(self, plays: Sequence[Play], tls: ssl.SSLContext | None) -> None:
        self.port = 0
        self.connections = 0
        self.requests: list[str] = []
        self.secure: list[str | None] = []
        self.left = anyio.Event()
        self._plays = plays
        self._scheme = "https" if tls else "http"

    def endpoint(self, host: str = "127.0.0.1") -> Endpoint:
        return Endpoint.of(f"{self._scheme}://{host}:{self.port}/v1", {"X-Key": "k"})

    async def request(self, reader: Reader) -> str:
        """Read one request and return its head, or "" if the client has disconnected."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"Content-Length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
        except (OSError, asyncio.IncompleteReadError):
            self.left.set()
            return ""
        self.requests.append(head)
        return head

    async def connected(self, reader: Reader, writer: Writer) -> None:
        """Play the next script to a connection."""
        play = self._plays[min(self.connections, len(self._plays) - 1)]
        self.connections += 1
        if secure := writer.get_extra_info("ssl_object"):
            self.secure.append(secure.selected_alpn_protocol())
        try:
            await play(self, reader, writer)
        except ConnectionError:
            self.left.set()


@asynccontextmanager
async def raw_server(
    *plays: Play, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[RawServer]:
    """Run a server, for at most five seconds."""
    server = RawServer(plays, tls)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: Reader, writer: Writer) -> None:
        task = asyncio.create_task(server.connected(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        # A callback also runs if the task is cancelled before it has started.
        task.add_done_callback(lambda _: writer.close())

    listening = await asyncio.start_server(connected, host, 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        with anyio.fail_after(5):
            yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def replies(*pieces: bytes, times: int = -1, extra: bytes = b"") -> Play:
    """Answer so many requests with the same pieces, then send `extra`."""

    async def play(server: RawServer, reader: Reader, writer: Writer) -> None:
        left = times
        while left and await server.request(reader):
            left -= 1
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
        writer.write(extra)

    return play


async def hangs_up(server: RawServer, reader: Reader, writer: Writer) -> None:
    """Read a request and close the connection without a response."""
    await server.request(reader)


def one_after_another(*plays: Play) -> Play:
    """Play several scripts on the same connection."""

    async def play(server: RawServer, reader: Reader, writer: Writer) -> None:
        for each in plays:
            await each(server, reader, writer)

    return play


def proxy(backend: RawServer, answer: bytes = b"HTTP/1.1 200 Connected\r\nVia: x\r\n\r\n") -> Play:
    """Answer a CONNECT request, and if the answer is 200 relay to a server."""

    async def relay(reader: Reader, writer: Writer) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
            writer.close()

    async def play(server: RawServer, reader: Reader, writer: Writer) -> None:
        if await server.request(reader):
            writer.write(answer)
            if b" 200 " in answer:
                from_there, there = await asyncio.open_connection("127.0.0.1", backend.port)
                try:
                    await asyncio.gather(relay(reader, there), relay(from_there, writer))
                finally:
                    there.close()

    return play
