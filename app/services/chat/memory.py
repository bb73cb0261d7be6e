"""Conversation memory in Redis.

A conversation is a list with one entry per turn, so a question is never stored without its answer.
Every write renews the expiry of the whole list. The conversations of an owner are in a sorted set,
by the time of their last turn. A turn is stored with the creators that its caller might read, and
only callers who may read all of them see it: its answer may tell what they said.
"""

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from app.infra.connection_errors import describe
from app.infra.redis import REDIS_ERRORS, RedisClient, check
from app.schemas import PastTurn

log = logging.getLogger(__name__)

T = TypeVar("T")


class _Stored(Struct):
    """What a stored turn has beside a PastTurn: the creators that its caller might read."""

    allowed_creators: tuple[str, ...] | None = None


_TURN, _STORED = msgspec.json.Decoder(PastTurn), msgspec.json.Decoder(_Stored)

# KEYS[1] conversation · ARGV[1] turn · ARGV[2] turns to keep · ARGV[3] expiry in seconds
# Atomic, and idempotent because a command is sent again if its reply was lost.
REMEMBER = """
if not redis.call('LPOS', KEYS[1], ARGV[1]) then
  redis.call('RPUSH', KEYS[1], ARGV[1])
  redis.call('LTRIM', KEYS[1], -ARGV[2], -1)
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
"""

# KEYS[1] an owner's conversations · ARGV[1] conversation · ARGV[2] conversations to keep
# · ARGV[3] expiry in seconds. Returns the oldest conversations beyond the limit.
LIST = """
local time = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', time[1] - ARGV[3])
redis.call('ZADD', KEYS[1], string.format('%d.%06d', time[1], time[2]), ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
local oldest = redis.call('ZRANGE', KEYS[1], 0, -1 - ARGV[2])
if #oldest > 0 then
  redis.call('ZREM', KEYS[1], unpack(oldest))
end
return oldest
"""


class MemoryUnavailable(Exception):
    """Redis failed or did not respond in time."""


class RedisMemory:
    """Stores the last `turns` turns of each conversation for `ttl` seconds after the latest.

    Each `owner` has conversations of its own, the latest `max_conversations` of them; ids of
    several owners may be equal. Every method raises MemoryUnavailable.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        turns: int,
        ttl: int,
        timeout: float,
        max_conversations: int = 200,
    ) -> None:
        self._redis = redis
        self._turns = turns
        self._max_conversations = max_conversations
        self._ttl = ttl
        self._timeout = timeout

    async def recall(
        self,
        conversation_id: str,
        latest: int | None = None,
        *,
        owner: str = "",
        allowed_creators: tuple[str, ...] | None = None,
    ) -> tuple[PastTurn, ...]:
        """Return a conversation's turns, oldest first; with `latest` at most that many.

        Returns () for an unknown conversation. `allowed_creators` are those that the caller may
        read, None for all.
        """
        first = -latest if latest else 0
        entries = await self._with_timeout(
            self._redis.lrange(_key(owner, conversation_id), first, -1)
        )
        return tuple(
            turn
            for entry in entries
            if _is_allowed(entry, allowed_creators) and (turn := _decoded(entry))
        )

    async def remember(
        self,
        conversation_id: str,
        turn: PastTurn,
        *,
        owner: str = "",
        shared: bool = False,
        allowed_creators: tuple[str, ...] | None = None,
    ) -> None:
        """Append a turn; drop the oldest turns and conversations beyond the limits.

        An owner that strangers share has no limit of conversations.
        """
        key = _key(owner, conversation_id)
        entry = msgspec.json.encode(asdict(turn) | {"allowed_creators": allowed_creators})
        if shared or not owner:
            remember = self._redis.eval(REMEMBER, 1, key, entry, self._turns, self._ttl)
            await self._with_timeout(remember)
            return
        both = self._redis.pipeline(transaction=False)
        both.eval(REMEMBER, 1, key, entry, self._turns, self._ttl)
        conversations = (conversation_id, self._max_conversations, self._ttl)
        both.eval(LIST, 1, _list_key(owner), *conversations)
        _, oldest = await self._with_timeout(both.execute())
        for beyond in oldest:
            await self._with_timeout(self._redis.delete(_key(owner, beyond.decode())))

    async def forget(self, conversation_id: str, *, owner: str = "") -> None:
        """Delete a conversation; an unknown one is not an error."""
        await self._with_timeout(self._redis.delete(_key(owner, conversation_id)))
        if owner:
            await self._with_timeout(self._redis.zrem(_list_key(owner), conversation_id))

    async def ping(self) -> None:
        """Raise MemoryUnavailable unless Redis answers and a cluster serves all slots."""
        await self._with_timeout(check(self._redis))

    # After a timeout the server may still execute the command, so a turn may be stored although
    # `done` says it is not. The reverse cannot happen.
    async def _with_timeout(self, command: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await command
        except REDIS_ERRORS as error:
            log.warning("memory is unavailable: %s", describe(error))
            raise MemoryUnavailable from error


def _key(owner: str, conversation_id: str) -> str:
    # The braces are a hash tag: all keys of a conversation share a slot of a Redis cluster.
    name = f"{owner}/{conversation_id}" if owner else conversation_id
    return f"conversation:{{{name}}}:turns"


def _list_key(owner: str) -> str:
    return f"conversations:{{{owner}}}"


def _is_allowed(entry: bytes | str, allowed_creators: tuple[str, ...] | None) -> bool:
    if allowed_creators is None:
        return True
    with suppress(msgspec.DecodeError):
        creators = _STORED.decode(entry).allowed_creators
        return creators is not None and set(creators) <= set(allowed_creators)
    return False


def _decoded(entry: bytes | str) -> PastTurn | None:
    try:
        return _TURN.decode(entry)
    except msgspec.DecodeError:
        # Written by another version. Skipping it keeps the conversation usable.
        log.warning("skipped a turn in memory that cannot be decoded")
        return None
