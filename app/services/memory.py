"""A finished turn comes in; what a conversation remembers goes out. Kept in Redis.

A conversation is one list, a turn one entry of it, so that a question is never kept without its
answer. Every write renews the expiry of the whole list.
"""

import logging
from collections.abc import Awaitable
from typing import TypeVar

import anyio
import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.schemas import PastTurn

log = logging.getLogger(__name__)

T = TypeVar("T")


class MemoryUnavailable(Exception):
    """Redis did not answer, or not in time."""


class RedisMemory:
    """The last turns of each conversation; see the settings `memory_*` for how many, how long.

    Every method raises MemoryUnavailable.
    """

    def __init__(self, redis: Redis, *, turns: int, ttl: int, timeout: float) -> None:
        self._redis = redis
        self._turns = turns
        self._ttl = ttl
        self._timeout = timeout

    async def recall(self, conversation_id: str) -> tuple[PastTurn, ...]:
        """Return the turns of a conversation, the oldest first; none where it is not known."""
        entries = await self._bounded(self._redis.lrange(_key(conversation_id), 0, -1))
        return tuple(turn for entry in entries if (turn := _decoded(entry)))

    async def remember(self, conversation_id: str, turn: PastTurn) -> None:
        """Add a turn at the end; what is older than the last turns is dropped."""
        key = _key(conversation_id)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.rpush(key, msgspec.json.encode(turn))
            pipeline.ltrim(key, -self._turns, -1)
            pipeline.expire(key, self._ttl)
            await self._bounded(pipeline.execute())

    async def forget(self, conversation_id: str) -> None:
        """Drop a conversation; one that is not known is no error."""
        await self._bounded(self._redis.delete(_key(conversation_id)))

    async def ping(self) -> None:
        """Raise MemoryUnavailable unless Redis answers."""
        await self._bounded(self._redis.ping())

    # What is given up in time may still be done by the server: then a turn is kept though `done`
    # said otherwise. Never the other way about.
    async def _bounded(self, command: Awaitable[T]) -> T:
        try:
            with anyio.fail_after(self._timeout):
                return await command
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("memory is unavailable: %s", type(error).__name__)
            raise MemoryUnavailable from error


def _key(conversation_id: str) -> str:
    # The braces put all keys of a conversation into one slot of a Redis cluster.
    return f"conversation:{{{conversation_id}}}:turns"


def _decoded(entry: bytes | str) -> PastTurn | None:
    try:
        return msgspec.json.decode(entry, type=PastTurn)
    except msgspec.DecodeError:
        # Written by another version: better forgotten than in the way of every later question.
        log.warning("an entry of a conversation cannot be read and is passed over")
        return None
