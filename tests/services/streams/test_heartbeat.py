"""Tests of heartbeats and stalled readers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from app.services.streams import Heartbeat, StreamBuffer, Viewer
from app.services.streams.log_format import Header

pytestmark = pytest.mark.anyio


class Reader:
    """Reads a stream; `received` is set by each item, and `take` is awaited with it."""

    def __init__(self, take: Callable[[], Awaitable[None]] = anyio.lowlevel.checkpoint) -> None:
        self.stream = StreamBuffer("s", Header("", "w"))
        self.items: list[bytes] = []
        self.received = anyio.Event()
        self._take = take
        self.viewer: Viewer
        self.task: asyncio.Task[None]

    async def _read(self) -> None:
        async for item in self.viewer:
            self.items.append(item)
            self.received.set()
            self.received = anyio.Event()
            await self._take()

    @asynccontextmanager
    async def watched_by(self, heartbeat: Heartbeat) -> AsyncIterator[None]:
        with self.stream.follow() as self.viewer:
            self.task = asyncio.create_task(self._read())
            with heartbeat.watch(self.viewer, self.task):
                yield
            self.task.cancel()


def ignore() -> None:
    """Do nothing at a check."""


async def test_a_waiting_viewer_gets_heartbeats_repeatedly() -> None:
    reader = Reader()
    heartbeat = Heartbeat(every=0.02, stall_timeout=60, on_check=ignore)
    with anyio.fail_after(5):
        async with reader.watched_by(heartbeat):
            for _ in range(3):
                await reader.received.wait()
    assert reader.items == [b"", b"", b""]
    assert not reader.viewer.stalled


async def test_a_stalled_reader_is_cancelled_and_others_keep_their_heartbeats() -> None:
    stalled, waiting = Reader(anyio.sleep_forever), Reader()
    stalled.stream.append(b"0")
    heartbeat = Heartbeat(every=0.05, stall_timeout=0.05, on_check=ignore)
    began = anyio.current_time()
    with anyio.fail_after(5):
        async with stalled.watched_by(heartbeat), waiting.watched_by(heartbeat):
            await asyncio.wait([stalled.task])
            await waiting.received.wait()
    assert anyio.current_time() - began >= 0.05
    assert stalled.viewer.stalled
    assert stalled.task.cancelled()
    assert not waiting.viewer.stalled


async def test_an_item_after_a_long_silence_does_not_count_as_stalled() -> None:
    checked = anyio.Event()
    reader = Reader(anyio.sleep_forever)
    heartbeat = Heartbeat(every=60, stall_timeout=2.0, on_check=checked.set)
    with anyio.fail_after(5):
        async with reader.watched_by(heartbeat):
            await anyio.wait_all_tasks_blocked()
            reader.viewer.idle = 100.0
            reader.stream.append(b"0")
            await checked.wait()
    assert reader.items == [b"0"]
    assert not reader.viewer.stalled


async def test_the_timer_stops_when_there_are_no_viewers() -> None:
    checks: list[float] = []
    checked = anyio.Event()

    def on_check() -> None:
        checks.append(asyncio.get_running_loop().time())
        checked.set()

    heartbeat = Heartbeat(every=0.04, stall_timeout=60, on_check=on_check)
    with anyio.fail_after(5):
        async with Reader().watched_by(heartbeat):
            await checked.wait()
    with anyio.move_on_after(0.1):
        await anyio.sleep_forever()
    # At most the check that was scheduled when the last viewer left.
    assert len(checks) <= 2
