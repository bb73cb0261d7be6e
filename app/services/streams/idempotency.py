"""Idempotency keys in Redis, shared by all workers: each maps to a stream."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Struct, field

from app.errors import NotFound, TurnRunning, Unprocessable
from app.infra.redis import RedisClient
from app.services.streams.buffer import StreamBuffer

# Seconds for each Redis command; after that the request continues without its key.
REDIS_TIMEOUT = 2.0
OTHER_REQUEST = "This Idempotency-Key belongs to another request. Use a new key for a new request."

# KEYS[1] the key · ARGV[1] the claim that may be replaced, "" for none · ARGV[2] the new claim
# · ARGV[3] its expiry in milliseconds. Returns the claim that holds the key afterwards.
CLAIM = """
local current = redis.call('GET', KEYS[1]) or ''
if current ~= ARGV[1] then
  return current
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return ARGV[2]
"""


class IdempotencyKey(Struct, frozen=True):
    """A client's key, a digest of the request that it sent with it, and the stream's owner."""

    value: str
    digest: str
    owner: str = ""

    @classmethod
    def for_request(cls, value: str, request: bytes, owner: str = "") -> "IdempotencyKey":
        """Return the key of an encoded request."""
        return cls(value, hashlib.sha256(request).hexdigest(), owner)

    @property
    def redis_key(self) -> str:
        """The name of the key in Redis."""
        # A client's key has no line break.
        value = f"{self.owner}\n{self.value}" if self.owner else self.value
        return f"idempotency:{{{hashlib.sha256(value.encode()).hexdigest()}}}"


class Claim(Struct, frozen=True):
    """The value of a key in Redis. Workers of an earlier release share its JSON names."""

    stream_id: str = field(name="turn_id")
    digest: str


class IdempotencyStore:
    """Maps idempotency keys to streams. Each owner of streams has a namespace."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def claim(
        self,
        key: IdempotencyKey,
        stream_id: str,
        *,
        expiry_ms: int,
        find: Callable[[str], Awaitable[StreamBuffer]],
    ) -> str | None:
        """Claim a key for a stream, or return the finished stream that holds it.

        A stream that failed or has expired is replaced. `find` returns a stream or raises
        NotFound. Raises TurnRunning, Unprocessable for another request, and one of REDIS_ERRORS.
        """
        mine = msgspec.json.encode(Claim(stream_id, key.digest))
        current = await self._replace(key, b"", mine, expiry_ms)
        while current != mine:
            if finished := await _finished(current, key, find):
                return finished
            current = await self._replace(key, current, mine, expiry_ms)
        return None

    async def find(
        self, key: IdempotencyKey, *, find: Callable[[str], Awaitable[StreamBuffer]]
    ) -> str | None:
        """Return the finished stream that holds a key like `claim`, but do not claim it."""
        async with asyncio.timeout(REDIS_TIMEOUT):
            current = await self._redis.get(key.redis_key)
        return await _finished(current, key, find) if isinstance(current, bytes) else None

    async def _replace(
        self, key: IdempotencyKey, expected: bytes, new: bytes, expiry_ms: int
    ) -> bytes:
        """Store a claim if the key holds the expected one; return the claim that holds it now."""
        async with asyncio.timeout(REDIS_TIMEOUT):
            current = await self._redis.eval(CLAIM, 1, key.redis_key, expected, new, expiry_ms)
        assert isinstance(current, bytes)  # noqa: S101 - the client decodes nothing
        return current


async def _finished(
    claim: bytes, key: IdempotencyKey, find: Callable[[str], Awaitable[StreamBuffer]]
) -> str | None:
    """Return the stream of a claim, None if it failed or has expired."""
    holder = msgspec.json.decode(claim, type=Claim)
    if holder.digest != key.digest:
        raise Unprocessable(OTHER_REQUEST)
    try:
        stream = await find(holder.stream_id)
    except NotFound:
        return None
    if not stream.ended:
        raise TurnRunning(holder.stream_id)
    return None if stream.failed else holder.stream_id
