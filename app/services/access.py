"""A caller comes in; one who asks too often is turned away. Counted in Redis, for all workers."""

import logging

import anyio
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.errors import TooManyRequests

log = logging.getLogger(__name__)

WINDOW_SECONDS = 60


class Limiter:
    """Lets each caller ask `limit` questions a minute; 0 sets no limit."""

    def __init__(self, redis: Redis, *, limit: int, timeout: float) -> None:
        self._redis = redis
        self._limit = limit
        self._timeout = timeout

    async def admit(self, caller: str) -> None:
        """Count a question; raises TooManyRequests. Where Redis is away, everyone is let in."""
        if self._limit == 0:
            return
        key = f"limit:{{{caller}}}"
        try:
            with anyio.fail_after(self._timeout):
                async with self._redis.pipeline(transaction=True) as pipeline:
                    pipeline.incr(key)
                    pipeline.expire(key, WINDOW_SECONDS, nx=True)
                    pipeline.ttl(key)
                    count, _, left = await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("questions are not counted: %s", type(error).__name__)
            return
        if count > self._limit:
            raise TooManyRequests(
                f"At most {self._limit} questions a minute. Ask again in {left} seconds.",
                headers={
                    "Retry-After": str(left),
                    "RateLimit-Policy": f'"questions";q={self._limit};w={WINDOW_SECONDS}',
                    "RateLimit": f'"questions";r=0;t={left}',
                },
            )
