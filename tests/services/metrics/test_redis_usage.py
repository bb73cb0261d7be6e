"""Metrics of Redis' memory are read on demand, where INFO is allowed."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.infra.redis import RedisClient, redis_client
from app.services.metrics.redis_usage import RedisUsage
from tests.servers import OwnServer

pytestmark = pytest.mark.anyio

USED, LIMIT, EVICTED = (
    f"chrysopedia_redis_{name}"
    for name in ("memory_used_bytes", "memory_limit_bytes", "evicted_keys")
)


async def read(redis: RedisClient) -> dict[str, float]:
    usage = RedisUsage(redis, timeout=2)
    await usage.read()
    return {family.name: family.samples[0].value for family in usage.collect()}


@pytest.fixture
async def own(anyio_backend: object, own_valkey: OwnServer) -> AsyncIterator[RedisClient]:
    async with redis_client(own_valkey.url, timeout=2) as redis:
        yield redis


async def test_memory_limit_and_evicted_keys_are_read(own: Redis) -> None:
    await own.config_set("maxmemory", 20_000_000)
    await own.config_set("maxmemory-policy", "volatile-lru")
    for number in range(60):
        await own.set(f"key:{number}", b"x" * 1_000_000, px=60_000)
    values = await read(own)
    assert values[LIMIT] == 20_000_000
    assert 0 < values[USED] < 1.1 * values[LIMIT]
    assert values[EVICTED] > 30


async def test_server_that_refuses_info_has_no_values_and_is_not_asked_again(
    own: Redis, own_valkey: OwnServer
) -> None:
    await own.acl_setuser("app", enabled=True, passwords="+secret", keys="*", commands=["+@read"])
    url = own_valkey.url.replace("unix://", "unix://app:secret@")
    async with redis_client(url, timeout=2) as limited:
        usage = RedisUsage(limited, timeout=2)
        await usage.read()
        assert list(usage.collect()) == []
        await own.acl_setuser("app", enabled=True, commands=["+info"])
        await usage.read()
        assert list(usage.collect()) == []


async def test_unreachable_server_has_no_values(anyio_backend: object) -> None:
    async with redis_client("redis://127.0.0.1:1", timeout=1) as redis:
        assert await read(redis) == {}
