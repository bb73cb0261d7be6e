"""Rate limits: shared by all workers, per minute, and off while Redis is unavailable."""

import socket
from collections.abc import AsyncIterator

import anyio
import pytest

from app.errors import TooManyRequests
from app.infra.redis import RedisClient, redis_client
from app.services.access.caller import Caller
from app.services.access.rate_limit import RateLimiter

pytestmark = pytest.mark.anyio


@pytest.fixture
async def redis(anyio_backend: object, redis_url: str) -> AsyncIterator[RedisClient]:
    async with redis_client(redis_url, timeout=5) as redis:
        yield redis


async def test_a_caller_over_the_limit_is_refused_by_every_worker(redis: RedisClient) -> None:
    workers = [RateLimiter(redis, limit=3, timeout=5) for _ in range(2)]
    for n in range(3):
        await workers[n % 2].admit(Caller("192.0.2.1"), 1)
    with pytest.raises(TooManyRequests) as refused:
        await workers[0].admit(Caller("192.0.2.1"), 1)
    assert 0 < refused.value.reset <= 60
    await workers[0].admit(Caller("192.0.2.2"), 1)


async def test_the_limit_resets_a_minute_after_the_first_question(redis: RedisClient) -> None:
    limiter = RateLimiter(redis, limit=1, timeout=5)
    await limiter.admit(Caller("a"), 1)
    (key,) = await redis.keys("*")
    assert 55 < await redis.ttl(key) <= 60
    await redis.expire(key, 5)
    with pytest.raises(TooManyRequests):
        await limiter.admit(Caller("a"), 1)
    assert await redis.ttl(key) <= 5
    await redis.delete(key)
    await limiter.admit(Caller("a"), 1)


async def test_ipv6_addresses_of_one_network_share_a_limit(redis: RedisClient) -> None:
    limiter = RateLimiter(redis, limit=1, timeout=5)
    await limiter.admit(Caller("2001:db8:1:2::1"), 1)
    with pytest.raises(TooManyRequests):
        await limiter.admit(Caller("2001:db8:1:2:a:b:c:d"), 1)
    await limiter.admit(Caller("2001:db8:1:3::1"), 1)
    await limiter.admit(Caller("::ffff:192.0.2.1"), 1)
    await limiter.admit(Caller("::ffff:192.0.2.2"), 1)


async def test_without_a_limit_nothing_is_counted(redis: RedisClient) -> None:
    await RateLimiter(redis, limit=0, timeout=5).admit(Caller("a"), 1)
    assert await redis.keys("*") == []


async def test_every_caller_is_admitted_if_redis_does_not_respond() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        async with redis_client(url, timeout=5) as redis:
            with anyio.fail_after(5):
                await RateLimiter(redis, limit=1, timeout=0.05).admit(Caller("a"), 1)
