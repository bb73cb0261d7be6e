"""Memory stores the last turns of a conversation, expires them, and has a timeout."""

import socket
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest
from redis.asyncio import Redis

from app.infra.redis import RedisClient, redis_client
from app.services.chat.memory import MemoryUnavailable, RedisMemory
from tests.cluster import Cluster, shared_cluster
from tests.redis_proxy import RedisProxy
from tests.services.samples import past

pytestmark = pytest.mark.anyio

KEY = "conversation:{c}:turns"


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    with shared_cluster() as nodes:
        yield nodes


@pytest.fixture(params=["one server", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "one server":
        return str(request.getfixturevalue("redis_url"))
    nodes: Cluster = request.getfixturevalue("nodes")
    nodes.flush()
    return nodes.url


@pytest.fixture
async def redis(anyio_backend: object, url: str) -> AsyncIterator[RedisClient]:
    async with redis_client(url, timeout=5) as redis:
        yield redis


def memory(redis: RedisClient, turns: int = 10, timeout: float = 5) -> RedisMemory:
    return RedisMemory(redis, turns=turns, ttl=3600, timeout=timeout)


async def test_turns_are_recalled_oldest_first(redis: RedisClient) -> None:
    turns = [past(f"Q{n} 音 \u2028", f"A{n} 🎛️") for n in range(3)]
    for turn in turns:
        await memory(redis).remember("c", turn)
    assert await memory(redis).recall("c") == tuple(turns)
    assert await memory(redis).recall("other") == ()


async def test_each_owner_has_conversations_of_its_own(redis: RedisClient) -> None:
    for owner in ("", "anna", "ben"):
        await memory(redis).remember("c", past(owner), owner=owner)
    await memory(redis).forget("c", owner="ben")
    for owner, questions in (("", [""]), ("anna", ["anna"]), ("ben", [])):
        turns = await memory(redis).recall("c", owner=owner)
        assert [turn.question for turn in turns] == questions


async def test_only_the_last_turns_are_stored(redis: RedisClient) -> None:
    for n in range(5):
        await memory(redis, turns=2).remember("c", past(str(n)))
    assert [turn.question for turn in await memory(redis).recall("c")] == ["3", "4"]


async def test_latest_turns_can_be_recalled_alone(redis: RedisClient) -> None:
    for n in range(5):
        await memory(redis).remember("c", past(str(n)))
    for latest, questions in ((2, ["3", "4"]), (9, ["0", "1", "2", "3", "4"])):
        turns = await memory(redis).recall("c", latest)
        assert [turn.question for turn in turns] == questions


async def test_concurrent_turns_are_all_stored(redis: RedisClient) -> None:
    async with anyio.create_task_group() as tasks:
        for n in range(10):
            tasks.start_soon(memory(redis).remember, "c", past(str(n)))
    assert {turn.question for turn in await memory(redis).recall("c")} == set("0123456789")


async def test_conversations_are_stored_on_all_nodes(redis: RedisClient) -> None:
    for n in range(20):
        await memory(redis).remember(f"c{n}", past(str(n)))
    for n in range(20):
        assert [turn.question for turn in await memory(redis).recall(f"c{n}")] == [str(n)]


async def test_each_turn_renews_the_expiry(redis: RedisClient) -> None:
    await memory(redis).remember("c", past("a"))
    assert 3590 < await redis.ttl(KEY) <= 3600
    await redis.expire(KEY, 5)
    await memory(redis).remember("c", past("b"))
    assert 3590 < await redis.ttl(KEY) <= 3600


async def test_turn_is_stored_once_if_the_reply_is_lost(redis_url: str) -> None:
    async with (
        RedisProxy(redis_url) as proxy,
        redis_client(proxy.url, timeout=5) as redis,
        Redis.from_url(redis_url) as server,
        anyio.create_task_group() as tasks,
    ):
        await memory(redis).ping()
        proxy.delay = 60
        tasks.start_soon(memory(redis).remember, "c", past("a"))
        stored = 0
        with anyio.fail_after(5):
            while not stored:
                stored = await server.llen(KEY)
        proxy.delay = 0
        proxy.cut()
        proxy.restore()
    async with redis_client(redis_url, timeout=5) as redis:
        assert [turn.question for turn in await memory(redis).recall("c")] == ["a"]


async def test_forgotten_conversation_is_empty(redis: RedisClient) -> None:
    await memory(redis).remember("c", past("a"))
    for _ in range(2):
        await memory(redis).forget("c")
    assert await memory(redis).recall("c") == ()


async def test_turn_of_another_version_is_skipped(redis: RedisClient) -> None:
    await memory(redis).remember("c", past("a"))
    await redis.rpush(KEY, b'{"unknown": 1}')
    assert [turn.question for turn in await memory(redis).recall("c")] == ["a"]


async def test_unresponsive_server_raises_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with redis_client(f"redis://127.0.0.1:{silent.getsockname()[1]}", timeout=5) as redis:
            with anyio.fail_after(5), pytest.raises(MemoryUnavailable):
                await memory(redis, timeout=0.05).recall("c")
