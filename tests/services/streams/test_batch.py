"""Commands are sent together, and each gets its own reply."""

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


class Asked:
    """A batch, and the replies to it by their numbers."""

    def __init__(self, redis: RedisClient) -> None:
        self._batch = Batch(redis)
        self._number = 0
        self.replies: dict[int, object] = {}

    def add(self, *command: str | int) -> None:
        self._batch.add(partial(self.replies.__setitem__, self._number), *command)
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


async def test_each_command_gets_its_reply_whatever_that_is(client: RedisClient) -> None:
    await client.set("bytes", b"\xff\x00 is no UTF-8")
    asked = Asked(client)
    asked.add("SET", "text", "vier ✓", "PX", 60_000)
    asked.add("APPEND", "text", "!")
    asked.add("GET", "bytes")
    asked.add("SADD", "text", 1)
    asked.add("GET", "missing")
    asked.add("SADD", "numbers", 1, 2)
    asked.add("SMEMBERS", "numbers")
    asked.add("PTTL", "missing")
    assert not await asked.execute(), "an error is among the replies"
    error = asked.replies.pop(3)
    assert isinstance(error, ResponseError)
    assert str(error).startswith("WRONGTYPE")
    members = asked.replies.pop(6)
    assert isinstance(members, set | list)
    assert set(members) == {b"1", b"2"}
    assert asked.replies == {0: 1, 1: 9, 2: b"\xff\x00 is no UTF-8", 4: None, 5: 2, 7: -2}
    assert await client.get("text") == "vier ✓!".encode()


async def test_there_may_be_more_commands_than_a_script_takes(client: RedisClient) -> None:
    asked = Asked(client)
    for number in range(2 * MAX_COMMANDS + 1):
        asked.add("SADD", "set", number)
    assert await asked.execute()
    assert asked.replies == dict.fromkeys(range(2 * MAX_COMMANDS + 1), 1)


async def test_what_a_restarted_server_is_asked_it_answers(own_valkey: OwnServer) -> None:
    async with redis_client(own_valkey.url, timeout=5) as client:
        assert isinstance(client, Redis)
        for _ in range(2):
            asked = Asked(client)
            asked.add("SADD", "set", 1)
            assert await asked.execute()
            await own_valkey.stop()
            broken = Asked(client)
            broken.add("SADD", "set", 2)
            broken.add("SADD", "set", 3)
            assert not await broken.execute()
            assert all(isinstance(reply, Exception) for reply in broken.replies.values())
            assert len(broken.replies) == 2
            await own_valkey.start()
