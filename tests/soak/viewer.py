"""A client that reads the events of a turn and resumes after every disconnect.

It behaves like a browser's EventSource: when the stream is cut, it asks any worker for the events
after the last one that it has.
"""

import asyncio
from collections.abc import Mapping
from random import Random

import aiohttp

from tests.service import CHAT
from tests.soak.turns import Seen, Tally
from tests.soak.workers import Workers

# What a client sees of a worker that is exiting or down.
Cut = (aiohttp.ClientError, ConnectionError, TimeoutError)
# Seconds until the next attempt if no worker answers.
PAUSE = 0.2


class Viewer:
    """Follows a turn; `seen` is what it has received, `connection` the response it reads now."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        workers: Workers,
        tally: Tally,
        random: Random,
        seen: Seen,
        connection: aiohttp.ClientResponse | None = None,
    ) -> None:
        self.seen = seen
        self._http, self._workers, self._tally, self._random = http, workers, tally, random
        self._connection: aiohttp.ClientResponse | None = None
        self._buffer = b""
        # There is nothing more to receive, although the last event is missing.
        self._given_up = False
        if connection is not None:
            self._connected(connection)

    async def read(self, until: int | None = None) -> None:
        """Read up to event number `until` or to the end of the turn, and resume if needed."""
        while not self._given_up:
            if self._connection is None:
                if self.seen.ended:
                    return
                await self._come_back()
                continue
            try:
                if not await self._take_until(until):
                    return
            except Cut:
                self._tally.counts["streams cut"] += not self.seen.ended
            except asyncio.CancelledError:
                self.hang_up()
                raise
            self.hang_up()

    def hang_up(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._buffer = b""
            self.seen.turn.leave(asyncio.get_running_loop().time())

    async def expect_nothing(self) -> None:
        """Ask for what follows the last event, as EventSource does; the response is 204."""
        turn_id = self.seen.turn.turn_id
        headers = {"Last-Event-ID": self.seen.cursor or ""}
        for url in self._urls():
            try:
                async with self._http.get(f"{url}{CHAT}/{turn_id}", headers=headers) as reply:
                    if reply.status != 204:
                        told = (await reply.text())[:200]
                        detail = f"{self.seen.cursor}: {reply.status} after the last event: {told}"
                        self._tally.fault("unexpected replies", detail)
                    return
            except Cut:
                continue

    async def _take_until(self, until: int | None) -> bool:
        """Read events; returns True at the end of the stream, False after enough of them."""
        assert self._connection is not None
        while self.seen.ended or until is None or self.seen.following <= until:
            chunk = await self._connection.content.readany()
            if not chunk:
                self._tally.counts["streams cut"] += not self.seen.ended
                return True
            *frames, self._buffer = (self._buffer + chunk).split(b"\n\n")
            for frame in frames:
                if frame.startswith(b":"):
                    self._tally.counts["heartbeats"] += 1
                else:
                    self.seen.take(frame)
            if self.seen.ended and self.seen.turn.ended_at is None:
                self.seen.turn.ended_at = asyncio.get_running_loop().time()
        return False

    async def _come_back(self) -> None:
        turn_id, cursor = self.seen.turn.turn_id, self.seen.cursor
        headers = {"Last-Event-ID": cursor} if cursor else {}
        by_post = cursor is not None and self._random.random() < 0.5
        self._tally.counts[
            "streams asked for by POST with an id" if by_post else "streams asked for by GET"
        ] += 1
        for url in self._urls():
            try:
                if by_post:
                    reply = await self._http.post(url + CHAT, headers=headers, json={"query": "-"})
                else:
                    reply = await self._http.get(f"{url}{CHAT}/{turn_id}", headers=headers)
            except Cut:
                self._tally.counts["connections refused or cut"] += 1
                continue
            if reply.status == 200:
                self._connected(reply)
                return
            problem = await _problem(reply)
            if reply.status == 503:
                self._tally.counts["resumes refused with 503"] += 1
                continue
            self._given_up = True
            detail = f"{cursor or turn_id}: {reply.status} on coming back: {problem}"
            self._tally.fault("unexpected replies", detail)
            return
        await asyncio.sleep(PAUSE)

    def _urls(self) -> list[str]:
        return self._random.sample(self._workers.urls, len(self._workers.urls))

    def _connected(self, connection: aiohttp.ClientResponse) -> None:
        self._connection = connection
        self.seen.turn.arrive(asyncio.get_running_loop().time())
        self._tally.counts["streams"] += 1
        expected: Mapping[str, str] = {"X-Turn-Id": self.seen.turn.turn_id}
        for name, value in expected.items():
            if connection.headers.get(name) != value:
                detail = f"{value}: {name} is {connection.headers.get(name)}"
                self._tally.fault("unexpected replies", detail)


async def _problem(reply: aiohttp.ClientResponse) -> str:
    """Return the text of a refusal."""
    async with reply:
        return (await reply.text())[:200]
