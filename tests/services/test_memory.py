"""Memory keeps whole turns, the last ones, for a while, and is never waited for long."""

import socket
from collections.abc import AsyncIterator

import anyio
import pytest
from redis.asyncio import Redis

from app.services.memory import MemoryUnavailable, RedisMemory
from tests.services.samples import past

pytestmark = pytest.mark.anyio


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as redis:
        yield redis


def memory(redis: Redis, turns: int = 10, timeout: float = 5) -> RedisMemory:
    return RedisMemory(redis, turns=turns, ttl=3600, timeout=timeout)


async def test_what_is_remembered_is_recalled_the_oldest_first(redis: Redis) -> None:
    turns = [past(f"Q{n} 音 \u2028", f"A{n} 🎛️") for n in range(3)]
    for turn in turns:
        await memory(redis).remember("c", turn)
    assert await memory(redis).recall("c") == tuple(turns)
    assert await memory(redis).recall("other") == ()


async def test_only_the_last_turns_are_kept(redis: Redis) -> None:
    for n in range(5):
        await memory(redis, turns=2).remember("c", past(str(n)))
    assert [turn.question for turn in await memory(redis).recall("c")] == ["3", "4"]


async def test_turns_that_end_at_once_are_all_kept(redis: Redis) -> None:
    async with anyio.create_task_group() as tasks:
        for n in range(10):
            tasks.start_soon(memory(redis).remember, "c", past(str(n)))
    assert {turn.question for turn in await memory(redis).recall("c")} == set("0123456789")


async def test_every_key_expires_and_each_turn_begins_the_time_anew(redis: Redis) -> None:
    await memory(redis).remember("c", past("a"))
    (key,) = await redis.keys("*")
    await redis.expire(key, 5)
    await memory(redis).remember("c", past("b"))
    assert 3590 < await redis.ttl(key) <= 3600


async def test_what_is_forgotten_is_gone(redis: Redis) -> None:
    await memory(redis).remember("c", past("a"))
    for _ in range(2):
        await memory(redis).forget("c")
    assert await memory(redis).recall("c") == ()


async def test_an_entry_of_another_version_is_passed_over(redis: Redis) -> None:
    await memory(redis).remember("c", past("a"))
    (key,) = await redis.keys("*")
    await redis.rpush(key, b'{"unknown": 1}')
    assert [turn.question for turn in await memory(redis).recall("c")] == ["a"]


async def test_a_server_that_does_not_answer_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with Redis(port=silent.getsockname()[1]) as redis:
            with anyio.fail_after(5), pytest.raises(MemoryUnavailable):
                await memory(redis, timeout=0.05).recall("c")
