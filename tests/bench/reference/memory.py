"""Conversation history in Redis with redis-py."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import BlockingConnectionPool, Redis

MAX_TURNS, TTL_SECONDS = 10, 3600


class History:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @classmethod
    @asynccontextmanager
    async def connected(cls, url: str) -> AsyncIterator["History"]:
        # Wait for a free connection; the default pool raises an error instead.
        pool = BlockingConnectionPool.from_url(
            url, decode_responses=True, max_connections=100, timeout=None
        )
        async with Redis.from_pool(pool) as redis:
            yield cls(redis)

    async def recall(self, conversation: str) -> list[dict[str, str]]:
        turns = await self._redis.lrange(f"reference:{conversation}", 0, -1)
        return [json.loads(turn) for turn in turns]

    async def remember(self, conversation: str, turn: dict[str, str]) -> None:
        key = f"reference:{conversation}"
        async with self._redis.pipeline() as pipe:
            pipe.rpush(key, json.dumps(turn))
            pipe.ltrim(key, -MAX_TURNS, -1)
            pipe.expire(key, TTL_SECONDS)
            await pipe.execute()
