"""Tests of batches of Redis commands, on one server and on a cluster."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from app.infra.redis import RedisClient, redis_client
from app.services.streams.batch import MAX_COMMANDS, Batch
from tests.cluster import cluster
from tests.servers import OwnServer

pytestmark = pytest.mark.anyio


class Recording:
    """A batch, and its replies by the number of the command."""

    def __init__(self, redis: RedisClient) -> None:
        self._batch = Batch(redis)
        self._number = 0
        self.replies: dict[int, object] = {}

    def add(self, *command: str | int) -> None:
        self._batch.add(*command, on_reply=partial(self.replies.__setitem__, self._number))
        self._number += 1

    async def execute(self) -> bool:
        return await self._batch.execute()


@pytest.fixture(params=["one server", "cluster"])
async def client(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[RedisClient]:
    if request.param == "one server":
        async with redis_client(redis_url, timeout=5) as client:
            yield client
    else:
        async with cluster() as nodes, redis_client(nodes.url, timeout=5) as client:
            yield client


async def test_each_command_gets_its_own_reply(client: RedisClient) -> None:
    await client.set("bytes", b"\xff\x00 is not UTF-8")
    batch = Recording(client)
    batch.add("SET", "text", "vier ✓", "PX", 60_000)
    batch.add("APPEND", "text", "!")
    batch.add("GET", "bytes")
    batch.add("SADD", "text", 1)
    batch.add("GET", "missing")
    batch.add("SADD", "numbers", 1, 2)
    batch.add("SMEMBERS", "numbers")
    batch.add("PTTL", "missing")
    assert not await batch.execute(), "one reply is an error"
    error = batch.replies.pop(3)
    assert isinstance(error, ResponseError)
    assert str(error).startswith("WRONGTYPE")
    members = batch.replies.pop(6)
    assert isinstance(members, set | list)
    assert set(members) == {b"1", b"2"}
    assert batch.replies == {0: 1, 1: 9, 2: b"\xff\x00 is not UTF-8", 4: None, 5: 2, 7: -2}
    assert await client.get("text") == "vier ✓!".encode()


async def test_more_commands_than_fit_into_one_script_are_executed(client: RedisClient) -> None:
    batch = Recording(client)
    for number in range(2 * MAX_COMMANDS + 1):
        batch.add("SADD", "set", number)
    assert await batch.execute()
    assert batch.replies == dict.fromkeys(range(2 * MAX_COMMANDS + 1), 1)


async def test_a_batch_succeeds_after_the_server_was_restarted(own_valkey: OwnServer) -> None:
    async with redis_client(own_valkey.url, timeout=5) as client:
        assert isinstance(client, Redis)
        for _ in range(2):
            batch = Recording(client)
            batch.add("SADD", "set", 1)
            assert await batch.execute()
            await own_valkey.stop()
            broken = Recording(client)
            broken.add("SADD", "set", 2)
            broken.add("SADD", "set", 3)
            assert not await broken.execute()
            assert all(isinstance(reply, Exception) for reply in broken.replies.values())
            assert len(broken.replies) == 2
            await own_valkey.start()
