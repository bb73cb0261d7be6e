"""The service on a real socket, and a client that reads its streams event by event."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio
import anyio.lowlevel
import uvicorn
from msgspec import Struct
from msgspec.structs import replace

from app.asgi import create_app
from app.cli.connections import ConnectionLimits
from app.cli.server import drop_stalled_connections, server_config
from app.config import Settings

CHAT = "/api/v1/chat"


def unlimited(settings: Settings) -> Settings:
    """Lift the limits of an address, since all tests share theirs."""
    return replace(settings, rate_limit=0, turns_at_once=0)


class Event(Struct, frozen=True):
    """An event from the wire; `data` is decoded JSON."""

    id: str
    name: str
    data: Any


class Stream:
    """An open stream."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self._buffer = b""

    async def events(self) -> AsyncIterator[Event]:
        """Yield events as they arrive, without comments."""
        while True:
            while b"\n\n" in self._buffer:
                frame, self._buffer = self._buffer.split(b"\n\n", 1)
                if not frame.startswith(b":"):
                    yield parse(frame)
            chunk = await self.response.content.readany()
            if not chunk:
                assert not self._buffer, "the stream ends within a frame"
                return
            self._buffer += chunk

    async def rest(self) -> list[Event]:
        """Read to the end."""
        return [event async for event in self.events()]

    async def until(self, name: str) -> list[Event]:
        """Read up to and including the first event with this name."""
        seen: list[Event] = []
        async for event in self.events():
            seen.append(event)
            if event.name == name:
                break
        return seen


def parse(frame: bytes) -> Event:
    """Decode a frame of exactly one id, one event and one data line, in that order."""
    lines = [line.split(b": ", 1) for line in frame.split(b"\n")]
    assert [field for field, _ in lines] == [b"id", b"event", b"data"], frame
    (_, name_of), (_, event), (_, data) = lines
    return Event(name_of.decode(), event.decode(), json.loads(data))


def answer(events: list[Event]) -> str:
    """Join the tokens."""
    return "".join(event.data for event in events if event.name == "token")


class Client:
    """A client of a running service."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http = http
        self.url = url
        self._conversations: dict[str, str] = {}

    async def conversation(self, name: str) -> str:
        """Return the id of a conversation without turns, the same for the same name."""
        if name not in self._conversations:
            _, _, headers = await self.call("POST", CHAT, json={"query": "Hello!"})
            self._conversations[name] = headers["X-Conversation-Id"]
        return self._conversations[name]

    @asynccontextmanager
    async def stream(
        self, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Stream]:
        """POST a question and read its stream."""
        async with self.http.post(self.url + CHAT, json=body, headers=headers) as response:
            assert response.status == 200, await response.text()
            yield Stream(response)

    @asynccontextmanager
    async def follow(self, turn_id: str, after: str | None = None) -> AsyncIterator[Stream]:
        """GET a turn's stream."""
        headers = {"Last-Event-ID": after} if after else {}
        async with self.http.get(f"{self.url}{CHAT}/{turn_id}", headers=headers) as response:
            assert response.status == 200, await response.text()
            yield Stream(response)

    async def ask(self, query: str, **fields: str) -> list[Event]:
        """POST a question and read its stream to the end."""
        async with self.stream({"query": query, **fields}) as stream:
            return await stream.rest()

    async def call(
        self, method: str, path: str, **options: Any
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Send a request; returns the status, the decoded body (None if empty) and the headers."""
        async with self.http.request(method, self.url + path, **options) as response:
            text = await response.read()
            decoded = json.loads(text) if "json" in response.content_type else text or None
            return response.status, decoded, response.headers


class _Server(uvicorn.Server):
    """Stops at once rather than at uvicorn's next tick: tests start hundreds of servers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ended = asyncio.Event()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.ended.wait()


@asynccontextmanager
async def running(
    settings: Settings, limits: ConnectionLimits | None = None
) -> AsyncIterator[Client]:
    """Run the service on a free port, in this event loop, for the length of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        drop_stalled_connections(listener, settings.send_timeout)
        server = _Server(server_config(create_app(settings), settings, limits))
        serving = asyncio.create_task(server.serve([listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with anyio.fail_after(10):
                while not server.started and not serving.done():
                    await anyio.lowlevel.checkpoint()
            # One connection per request, so that the service sees a disconnect at once.
            connector = aiohttp.TCPConnector(force_close=True)
            async with aiohttp.ClientSession(connector=connector) as http:
                yield Client(http, url)
        finally:
            server.ended.set()
            await serving
