"""The logs of workers on one Redis, and what follows them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from app.infra.redis import redis_client
from app.services.streams import EventStore, StreamBuffer
from tests.services.streams.following import following


def lost(turn_id: str, number: int) -> bytes:
    return b"lost %d" % number


@asynccontextmanager
async def log_of_a_worker(
    redis_url: str, *, ticking: bool = True, lease: float = 60, replay: float = 60
) -> AsyncIterator[EventStore]:
    async with redis_client(redis_url, timeout=1) as client, anyio.create_task_group() as tasks:
        log = EventStore(client, ticking=client, lease=lease, grace=60, replay=replay, lost=lost)
        if ticking:
            tasks.start_soon(log.run)
        yield log
        tasks.cancel_scope.cancel()


async def seen(turn: StreamBuffer, after: int = -1) -> bytes:
    with anyio.fail_after(10):
        return b" ".join([frames async for frames in following(turn, after)])


async def collect(turn: StreamBuffer, into: list[bytes], told: anyio.Event) -> None:
    async for frames in following(turn):
        into.append(frames)
        told.set()
