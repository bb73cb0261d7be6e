"""Idempotency keys come in; the turn that each stands for goes out, the same on every worker."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Struct

from app.errors import NotFound, TurnRunning, Unprocessable
from app.infra.redis import RedisClient
from app.schemas import ChatRequest
from app.services.streams import StreamBuffer

# Seconds that Redis may take for a step of a claim; then the question goes first.
CLAIMING = 2.0
ANOTHER_BODY = "This Idempotency-Key was used with another body. Use a new key for a new question."

# KEYS[1] the claim · ARGV[1] the claim it may replace, "" for none · ARGV[2] the new one
# · ARGV[3] its expiry in milliseconds. Gives the claim that stands after it, all in one step.
CLAIM = """
local standing = redis.call('GET', KEYS[1]) or ''
if standing ~= ARGV[1] then
  return standing
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return ARGV[2]
"""


class Claim(Struct, frozen=True):
    """A turn, and a digest of the request that it answers."""

    turn_id: str
    digest: str


def claim_of(turn_id: str, request: ChatRequest) -> Claim:
    """Make the claim of a turn."""
    digest = hashlib.sha256(msgspec.json.encode(request)).hexdigest()
    return Claim(turn_id, digest)


def claim_key(key: str) -> str:
    """Name where in Redis the claim to an Idempotency-Key is kept."""
    return f"idempotency:{{{hashlib.sha256(key.encode()).hexdigest()}}}"


class IdempotencyStore:
    """Which turn an Idempotency-Key stands for, in Redis: the keys of all callers together."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def settle(
        self, key: str, claim: Claim, expiry: int, find: Callable[[str], Awaitable[StreamBuffer]]
    ) -> str | None:
        """Claim a key (of `claim_key`), or return the finished turn that it stands for.

        A turn that failed, or is kept no more, makes room. The claim lasts `expiry` milliseconds.
        `find` gives a turn's frames or raises NotFound. Raises TurnRunning, Unprocessable for
        another body, and one of REDIS_ERRORS.
        """
        mine = msgspec.json.encode(claim)
        raw = await self._claim(key, mine, expiry, b"")
        while raw != mine:
            standing = msgspec.json.decode(raw, type=Claim)
            if standing.digest != claim.digest:
                raise Unprocessable(ANOTHER_BODY)
            try:
                earlier = await find(standing.turn_id)
            except NotFound:
                pass
            else:
                if not earlier.ended:
                    raise TurnRunning(standing.turn_id)
                if not earlier.failed:
                    return standing.turn_id
            raw = await self._claim(key, mine, expiry, raw)
        return None

    async def _claim(self, key: str, claim: bytes, expiry: int, instead: bytes) -> bytes:
        """Claim a key where no claim stands, or only `instead`; return the one that stands now."""
        async with asyncio.timeout(CLAIMING):
            standing = await self._redis.eval(CLAIM, 1, key, instead, claim, expiry)
        assert isinstance(standing, bytes)  # noqa: S101 - the client decodes nothing
        return standing
