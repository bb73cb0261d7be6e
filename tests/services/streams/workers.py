"""Event stores of workers on one Redis, and readers of their streams."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from app.infra.redis import redis_client
from app.services.streams import EventStore, LocalStream, StreamBuffer


def lost(stream_id: str, number: int) -> bytes:
    return b"lost %d" % number


@asynccontextmanager
async def event_store(
    redis_url: str, *, syncing: bool = True, lease: float = 60, replay: float = 60
) -> AsyncIterator[EventStore]:
    """Run the event store of one worker."""
    async with redis_client(redis_url, timeout=1) as redis, anyio.create_task_group() as tasks:
        store = EventStore(
            redis, sync_redis=redis, lease=lease, grace=60, replay=replay, encode_lost=lost
        )
        if syncing:
            tasks.start_soon(store.run)
        yield store
        tasks.cancel_scope.cancel()


def create(store: EventStore, stream_id: str = "s", owner: str = "") -> LocalStream:
    """Create a stream that ignores requests to stop."""
    return store.create(stream_id, "metadata", lambda: None, owner=owner)


async def items(stream: StreamBuffer, after: int = -1) -> AsyncIterator[bytes]:
    """Read a stream to its end; raises ReconnectElsewhere."""
    with stream.follow(after) as viewer:
        async for item in viewer:
            yield item


async def read(stream: StreamBuffer, after: int = -1) -> bytes:
    """Return the items of a stream, separated by spaces, once it has ended."""
    with anyio.fail_after(10):
        return b" ".join([item async for item in items(stream, after)])


async def collect(stream: StreamBuffer, into: list[bytes], received: anyio.Event) -> None:
    """Read a stream; set `received` for each item."""
    async for item in items(stream):
        into.append(item)
        received.set()
