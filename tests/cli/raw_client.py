"""Connections to a service, for requests that no HTTP client would send."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from tests.service import Client

# How soon the service replies or notices something, in seconds.
SOON = 5


@asynccontextmanager
async def connect(
    service: Client,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection, closed when the block ends."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def exchange(service: Client, *pieces: bytes, end: bool = False) -> bytes:
    """Send a piece at a time, close the sending side if `end`, and read to the end."""
    async with connect(service) as (reader, writer):
        with anyio.fail_after(SOON):
            for piece in pieces:
                # Each piece becomes a packet, which is read on its own.
                await anyio.wait_all_tasks_blocked()
                writer.write(piece)
            if end:
                writer.write_eof()
            return await reader.read()


def get(path: str, headers: bytes = b"") -> bytes:
    """Return a request without a body."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n".encode() + headers + b"\r\n"
