"""A finished turn comes in; what a conversation remembers goes out. Kept in Redis.

A conversation is one list, a turn one entry of it, so that a question is never kept without its
answer. Every write renews the expiry of the whole list.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

import msgspec

from app.infra.redis import REDIS_ERRORS, RedisClient, check
from app.schemas import PastTurn

log = logging.getLogger(__name__)

T = TypeVar("T")
_TURN = msgspec.json.Decoder(PastTurn)

# KEYS[1] the conversation · ARGV[1] the turn · ARGV[2] how many are kept · ARGV[3] their expiry in
# seconds. All in one step, and done twice, since a reply was lost, it keeps the turn once.
REMEMBER = """
if not redis.call('LPOS', KEYS[1], ARGV[1]) then
  redis.call('RPUSH', KEYS[1], ARGV[1])
  redis.call('LTRIM', KEYS[1], -ARGV[2], -1)
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
"""


class MemoryUnavailable(Exception):
    """Redis did not answer, or not in time."""


class RedisMemory:
    """The last turns of each conversation; see the settings `memory_*` for how many, how long.

    Every method raises MemoryUnavailable.
    """

    def __init__(self, redis: RedisClient, *, turns: int, ttl: int, timeout: float) -> None:
        self._redis = redis
        self._turns = turns
        self._ttl = ttl
        self._timeout = timeout

    async def recall(self, conversation_id: str, latest: int | None = None) -> tuple[PastTurn, ...]:
        """Return a conversation's turns, the oldest first, or so many of the latest.

        None where the conversation is not known.
        """
        first = -latest if latest else 0
        entries = await self._bounded(self._redis.lrange(_key(conversation_id), first, -1))
        return tuple(turn for entry in entries if (turn := _decoded(entry)))

    async def remember(self, conversation_id: str, turn: PastTurn) -> None:
        """Add a turn at the end; what is older than the last turns is dropped."""
        key, entry = _key(conversation_id), msgspec.json.encode(turn)
        await self._bounded(self._redis.eval(REMEMBER, 1, key, entry, self._turns, self._ttl))

    async def forget(self, conversation_id: str) -> None:
        """Drop a conversation; one that is not known is no error."""
        await self._bounded(self._redis.delete(_key(conversation_id)))

    async def ping(self) -> None:
        """Raise MemoryUnavailable unless Redis answers, and a cluster has nodes for all keys."""
        await self._bounded(check(self._redis))

    # What is given up in time may still be done by the server: then a turn is kept though `done`
    # said otherwise. Never the other way about.
    async def _bounded(self, command: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await command
        except REDIS_ERRORS as error:
            log.warning("memory is unavailable: %s", type(error).__name__)
            raise MemoryUnavailable from error


def _key(conversation_id: str) -> str:
    # The braces put all keys of a conversation into one slot of a Redis cluster.
    return f"conversation:{{{conversation_id}}}:turns"


def _decoded(entry: bytes | str) -> PastTurn | None:
    try:
        return _TURN.decode(entry)
    except msgspec.DecodeError:
        # Written by another version: better forgotten than in the way of every later question.
        log.warning("an entry of a conversation cannot be read and is passed over")
        return None
