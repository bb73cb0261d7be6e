"""A caller comes in; one who asks too often is turned away. Counted in Redis, for all workers."""

import asyncio
import logging
from ipaddress import ip_address, ip_network

from app.errors import TooManyRequests
from app.infra.redis import REDIS_ERRORS, RedisClient

log = logging.getLogger(__name__)

WINDOW_SECONDS = 60

# KEYS[1] the caller's count · ARGV[1] the seconds it lasts. Gives the count and what is left of
# them; in one step, so that no count lasts for ever.
COUNT = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
end
return {count, redis.call('TTL', KEYS[1])}
"""


class RateLimiter:
    """Lets each caller ask `limit` questions a minute; 0 sets no limit."""

    def __init__(self, redis: RedisClient, *, limit: int, timeout: float) -> None:
        self._redis = redis
        self._limit = limit
        self._timeout = timeout

    async def admit(self, caller: str) -> None:
        """Count a question of an address; raises TooManyRequests.

        Where Redis is away, everyone is let in.
        """
        if self._limit == 0:
            return
        key = f"limit:{{{_network(caller)}}}"
        try:
            async with asyncio.timeout(self._timeout):
                count, left = await self._redis.eval(COUNT, 1, key, WINDOW_SECONDS)
        except REDIS_ERRORS as error:
            log.warning("questions are not counted: %s", type(error).__name__)
            return
        if count > self._limit:
            raise TooManyRequests(limit=self._limit, window=WINDOW_SECONDS, reset=left)


def _network(address: str) -> str:
    """Return whose an address is: with IPv6 one caller has all addresses of a network."""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if known.version == 4 or known.ipv4_mapped:
        return address
    return str(ip_network((known, 64), strict=False))
