"""A TCP relay whose connections a test may cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Relay:
    """Forwards connections from `address` to `target`, both `host:port`."""

    def __init__(self, target: str) -> None:
        self.address = "127.0.0.1:0"
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Accept connections, at the same address as before."""
        host, _, port = self.address.rpartition(":")
        self._server = await asyncio.start_server(self._connected, host, int(port))
        self.address = f"{host}:{self._server.sockets[0].getsockname()[1]}"

    def lead_to(self, target: str) -> None:
        """Forward new connections to another `host:port`."""
        self._target = target

    def cut(self) -> None:
        """Abort all connections; new ones are accepted."""
        for writer in self._writers:
            writer.transport.abort()

    async def close(self) -> None:
        """Abort all connections and refuse new ones until `open`."""
        if self._server:
            self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks)
        self._server = None

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._join(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target.rpartition(":")
        writers = {writer}
        self._writers |= writers
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            writers.add(far_writer)
            self._writers |= writers
            await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))
        except OSError:
            pass
        finally:
            self._writers -= writers
            for each in writers:
                each.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    # Close both directions when one closes: HTTP does not need half-closed connections.
    raise ConnectionResetError


@asynccontextmanager
async def relay(target: str) -> AsyncIterator[Relay]:
    """Run a relay to a server at `host:port`."""
    running = Relay(target)
    await running.open()
    try:
        yield running
    finally:
        await running.close()
