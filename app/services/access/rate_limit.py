"""Rate limits per caller, counted in Redis for all workers."""

import asyncio
import logging
from ipaddress import ip_address, ip_network

from app.errors import TooManyRequests
from app.infra.connection_errors import describe
from app.infra.redis import REDIS_ERRORS, RedisClient
from app.services.access.caller import Caller

log = logging.getLogger(__name__)

WINDOW_SECONDS = 60

# KEYS[1] the caller's count · ARGV[1] its expiry in seconds. Returns the count and the seconds
# until it expires. Atomic, so that no count is left without an expiry.
COUNT = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
end
return {count, redis.call('TTL', KEYS[1])}
"""


class RateLimiter:
    """Allows each caller `limit` questions a minute; 0 is unlimited. `timeout` is in seconds."""

    def __init__(self, redis: RedisClient, *, limit: int, timeout: float) -> None:
        self._redis = redis
        self._limit = limit
        self._timeout = timeout

    async def admit(self, caller: Caller, cost: float) -> None:
        """Count a question from an address; raises TooManyRequests.

        Every question is admitted while Redis is unavailable.
        """
        if self._limit == 0 or cost < 1:
            return
        key = f"limit:{{{_caller_id(caller.address)}}}"
        try:
            async with asyncio.timeout(self._timeout):
                count, reset = await self._redis.eval(COUNT, 1, key, WINDOW_SECONDS)
        except REDIS_ERRORS as error:
            log.warning("rate limit not checked, Redis is unavailable: %s", describe(error))
            return
        if count > self._limit:
            raise TooManyRequests(limit=self._limit, window=WINDOW_SECONDS, reset=reset)


def _caller_id(address: str) -> str:
    """Return what identifies a caller: an IPv4 address, or an IPv6 /64 network."""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if known.version == 4 or known.ipv4_mapped:
        return address
    return str(ip_network((known, 64), strict=False))
