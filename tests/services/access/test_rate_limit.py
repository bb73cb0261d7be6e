"""Callers are counted by the minute, by all workers together; Redis away, everyone is let in."""

import socket
from collections.abc import AsyncIterator

import anyio
import pytest

from app.errors import TooManyRequests
from app.infra.redis import RedisClient, redis_client
from app.services.access.rate_limit import RateLimiter

pytestmark = pytest.mark.anyio


@pytest.fixture
async def redis(anyio_backend: object, redis_url: str) -> AsyncIterator[RedisClient]:
    async with redis_client(redis_url, timeout=5) as redis:
        yield redis


async def test_who_asks_too_often_is_told_when_to_come_back(redis: RedisClient) -> None:
    workers = [RateLimiter(redis, limit=3, timeout=5) for _ in range(2)]
    for n in range(3):
        await workers[n % 2].admit("192.0.2.1")
    with pytest.raises(TooManyRequests) as refused:
        await workers[0].admit("192.0.2.1")
    assert 0 < refused.value.reset <= 60
    await workers[0].admit("192.0.2.2")


async def test_a_count_lasts_a_minute_from_its_first_question_on(redis: RedisClient) -> None:
    limiter = RateLimiter(redis, limit=1, timeout=5)
    await limiter.admit("a")
    (key,) = await redis.keys("*")
    assert 55 < await redis.ttl(key) <= 60
    await redis.expire(key, 5)
    with pytest.raises(TooManyRequests):
        await limiter.admit("a")
    assert await redis.ttl(key) <= 5
    await redis.delete(key)
    await limiter.admit("a")


async def test_an_address_of_ipv6_counts_with_its_network(redis: RedisClient) -> None:
    limiter = RateLimiter(redis, limit=1, timeout=5)
    await limiter.admit("2001:db8:1:2::1")
    with pytest.raises(TooManyRequests):
        await limiter.admit("2001:db8:1:2:a:b:c:d")
    await limiter.admit("2001:db8:1:3::1")
    await limiter.admit("::ffff:192.0.2.1")
    await limiter.admit("::ffff:192.0.2.2")


async def test_without_a_limit_nothing_is_counted(redis: RedisClient) -> None:
    await RateLimiter(redis, limit=0, timeout=5).admit("a")
    assert await redis.keys("*") == []


async def test_everyone_is_let_in_where_redis_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        async with redis_client(url, timeout=5) as redis:
            with anyio.fail_after(5):
                await RateLimiter(redis, limit=1, timeout=0.05).admit("a")
