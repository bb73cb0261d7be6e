"""A client that reads a turn's events, disconnects, and resumes.

Like a browser's EventSource, it reconnects after a cut with the id of its last event, here to any
worker.
"""

import asyncio
from collections.abc import Mapping
from random import Random

import aiohttp

from tests.service import CHAT
from tests.soak.turns import ReceivedEvents, Tally
from tests.soak.workers import Workers

# Raised while a worker shuts down or is not running.
CONNECTION_ERRORS = (aiohttp.ClientError, ConnectionError, TimeoutError)
# Seconds until the next attempt if no worker answers.
PAUSE = 0.2


class Viewer:
    """Reads the events of a turn into `received`, first from `connection` if there is one."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        workers: Workers,
        tally: Tally,
        random: Random,
        received: ReceivedEvents,
        connection: aiohttp.ClientResponse | None = None,
    ) -> None:
        self.received = received
        self._http, self._workers, self._tally, self._random = http, workers, tally, random
        self._connection: aiohttp.ClientResponse | None = None
        self._buffer = b""
        # After an unexpected response, although the last event is missing.
        self._failed = False
        if connection is not None:
            self._connected(connection)

    async def read(self, until: int | None = None) -> None:
        """Read up to event number `until` or to the end, and reconnect when the stream is cut."""
        while not self._failed:
            if self._connection is None:
                if self.received.ended:
                    return
                await self._reconnect()
                continue
            try:
                if not await self._read_until(until):
                    return
            except CONNECTION_ERRORS:
                self._tally.counts["streams cut"] += not self.received.ended
            except asyncio.CancelledError:
                self.disconnect()
                raise
            self.disconnect()

    def disconnect(self) -> None:
        """Close the connection, if any."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._buffer = b""
            self.received.turn.viewer_disconnected(asyncio.get_running_loop().time())

    async def expect_no_content(self) -> None:
        """Reconnect after the last event, as EventSource does, and expect a 204."""
        turn_id = self.received.turn.turn_id
        headers = {"Last-Event-ID": self.received.cursor or ""}
        for url in self._urls():
            try:
                async with self._http.get(f"{url}{CHAT}/{turn_id}", headers=headers) as reply:
                    if reply.status != 204:
                        detail = f"{reply.status} after the last event: {await _problem(reply)}"
                        self._tally.fault("unexpected replies", f"{turn_id}: {detail}")
                    return
            except CONNECTION_ERRORS:
                continue

    async def _read_until(self, until: int | None) -> bool:
        """Read events; return True at the end of the stream, False once `until` was received."""
        assert self._connection is not None
        while self.received.ended or until is None or self.received.next_number <= until:
            chunk = await self._connection.content.readany()
            if not chunk:
                self._tally.counts["streams cut"] += not self.received.ended
                return True
            *frames, self._buffer = (self._buffer + chunk).split(b"\n\n")
            for frame in frames:
                if frame.startswith(b":"):
                    self._tally.counts["heartbeats"] += 1
                else:
                    self.received.add(frame)
            if self.received.ended and self.received.turn.ended_at is None:
                self.received.turn.ended_at = asyncio.get_running_loop().time()
        return False

    async def _reconnect(self) -> None:
        turn_id, cursor = self.received.turn.turn_id, self.received.cursor
        headers = {"Last-Event-ID": cursor} if cursor else {}
        by_post = cursor is not None and self._random.random() < 0.5
        self._tally.counts["resumes by POST" if by_post else "resumes by GET"] += 1
        for url in self._urls():
            try:
                if by_post:
                    reply = await self._http.post(url + CHAT, headers=headers, json={"query": "-"})
                else:
                    reply = await self._http.get(f"{url}{CHAT}/{turn_id}", headers=headers)
            except CONNECTION_ERRORS:
                self._tally.counts["connections refused or cut"] += 1
                continue
            if reply.status == 200:
                self._connected(reply)
                return
            problem = await _problem(reply)
            if reply.status == 503:
                self._tally.counts["resumes refused with 503"] += 1
                continue
            self._failed = True
            detail = f"{cursor or turn_id}: {reply.status} on resuming: {problem}"
            self._tally.fault("unexpected replies", detail)
            return
        await asyncio.sleep(PAUSE)

    def _urls(self) -> list[str]:
        return self._random.sample(self._workers.urls, len(self._workers.urls))

    def _connected(self, connection: aiohttp.ClientResponse) -> None:
        self._connection = connection
        self.received.turn.viewer_connected(asyncio.get_running_loop().time())
        self._tally.counts["streams"] += 1
        expected: Mapping[str, str] = {"X-Turn-Id": self.received.turn.turn_id}
        for name, value in expected.items():
            if connection.headers.get(name) != value:
                detail = f"{value}: {name} is {connection.headers.get(name)}"
                self._tally.fault("unexpected replies", detail)


async def _problem(reply: aiohttp.ClientResponse) -> str:
    """Return the beginning of an error response's body."""
    async with reply:
        return (await reply.text())[:200]
