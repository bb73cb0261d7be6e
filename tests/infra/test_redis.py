"""Redis clients of a server and of a cluster: commands, failures, failover."""

import asyncio
import socket
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest
from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import ResponseError

from app.infra.embedded.wait import until
from app.infra.redis import REDIS_ERRORS, RedisClient, check, close_idle_connections, redis_client
from tests.cluster import HOST, Cluster, cluster
from tests.relay import Relay, relay

pytestmark = pytest.mark.anyio

SPREAD = [f"{{{n}}}" for n in range(30)]


@pytest.fixture(scope="module")
async def nodes(anyio_backend: object) -> AsyncIterator[Cluster]:
    """A cluster; a test that stops a node starts it again."""
    async with cluster() as nodes:
        yield nodes


@pytest.fixture
async def redis(nodes: Cluster) -> AsyncIterator[RedisClient]:
    nodes.flush()
    async with redis_client(nodes.url, timeout=10) as redis:
        yield redis


@pytest.fixture
async def server(anyio_backend: object, redis_url: str) -> AsyncIterator[RedisClient]:
    async with redis_client(redis_url, timeout=1) as redis:
        yield redis


@pytest.mark.parametrize("kind", ["redis", "redis+cluster"])
async def test_an_unreachable_server_fails_commands_but_not_the_client(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with redis_client(f"{kind}://127.0.0.1:{port}", timeout=1) as redis:
        for _ in range(2):
            with pytest.raises(REDIS_ERRORS):
                await redis.get("a")
            pipeline = redis.pipeline(transaction=False)
            pipeline.get("a")
            with pytest.raises(REDIS_ERRORS):
                await pipeline.execute(raise_on_error=False)


@pytest.mark.parametrize("kind", ["redis", "redis+cluster"])
async def test_a_server_that_hangs_times_out(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with redis_client(f"{kind}://127.0.0.1:{port}", timeout=0.05) as redis:
            with anyio.fail_after(5), pytest.raises(REDIS_ERRORS):
                await redis.get("a")


async def _check_commands(redis: RedisClient) -> None:
    await check(redis)
    assert await redis.set("once", b"\xff", nx=True, ex=30) is True
    assert await redis.set("once", b"", nx=True, ex=30) is None
    assert await redis.get("once") == b"\xff"
    assert await redis.eval("return {KEYS[1], ARGV[1]}", 1, "a", "b") == [b"a", b"b"]
    async with redis.pipeline(transaction=False) as pipeline:
        for key in SPREAD:
            pipeline.set(f"{key}:log", b"ab", ex=30)
            pipeline.append(f"{key}:log", b"cd")
            pipeline.getrange(f"{key}:log", 1, -1)
            pipeline.pttl(f"{key}:log")
            pipeline.expire(f"{key}:log", 60)
            pipeline.exists(f"{key}:log")
            pipeline.sadd(f"{key}:set", "x", "y")
            pipeline.smembers(f"{key}:set")
            pipeline.srem(f"{key}:set", "x", "y")
            pipeline.delete(f"{key}:log")
            pipeline.exists(f"{key}:log")
            pipeline.rpush(f"{key}:log", "x")
            pipeline.append(f"{key}:log", "y")
        replies = await pipeline.execute(raise_on_error=False)
    for n in range(len(SPREAD)):
        several = replies[13 * n : 13 * (n + 1)]
        assert several[:3] == [True, 4, b"bcd"]
        assert 29_000 < several[3] <= 30_000
        assert several[4:12] == [1, 1, 2, {b"x", b"y"}, 2, 1, 0, 1]
        assert isinstance(several[12], ResponseError)


async def test_commands_work_on_a_server(server: RedisClient) -> None:
    await _check_commands(server)


async def test_commands_work_on_every_node_of_a_cluster(redis: RedisClient, nodes: Cluster) -> None:
    await _check_commands(redis)
    for node in nodes.nodes:
        with node.client() as client:
            assert client.dbsize() > 3


def _moved(nodes: Cluster, slot: int) -> None:
    """Give an empty slot of the first node to the last."""
    first, *_, last = nodes.nodes
    with last.client() as client:
        owner = client.cluster("MYID")
    for node in (last, first, *nodes.nodes[1:-1]):
        with node.client() as client:
            client.cluster("SETSLOT", slot, "NODE", owner)


async def test_a_moved_slot_is_followed(redis: RedisClient, nodes: Cluster) -> None:
    assert isinstance(redis, RedisCluster)
    await redis.get("a")
    own = [key for key in SPREAD if redis.keyslot(key) < 5_000][:7]
    assert len(own) == 7
    for key in own:
        _moved(nodes, redis.keyslot(key))
    assert await redis.set(own[0], b"x") is True
    async with redis.pipeline(transaction=False) as pipeline:
        for key in own:
            pipeline.set(key, b"y")
        replies = await pipeline.execute(raise_on_error=False)
    assert replies == [True] * 7
    with nodes.nodes[-1].client() as client:
        assert client.dbsize() == 7


async def test_a_lost_node_does_not_affect_the_others_and_is_used_again_once_back(
    redis: RedisClient, nodes: Cluster
) -> None:
    assert isinstance(redis, RedisCluster)
    await redis.get("a")
    first, away, _ = nodes.nodes
    lost = next(key for key in SPREAD if _node_of(redis, key) == away.port)
    kept, busy = [key for key in SPREAD if _node_of(redis, key) == first.port][:2]
    popped: list[object] = []

    async def pop() -> None:
        popped.append(await redis.execute_command("BLPOP", busy, 10))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pop)
        with first.client() as client:
            assert await until(lambda: client.info("clients")["blocked_clients"] == 1, 5)
        await away.stop()
        with pytest.raises(REDIS_ERRORS):
            await redis.get(lost)
        async with redis.pipeline(transaction=False) as pipeline:
            pipeline.get(kept)
            pipeline.get(lost)
            with pytest.raises(REDIS_ERRORS):
                await pipeline.execute()
        with pytest.raises(REDIS_ERRORS):
            await check(redis)
        assert await redis.get(kept) is None
        await redis.rpush(busy, "x")
    assert popped == [(busy.encode(), b"x")]
    await away.start()
    await nodes.wait_for_state()
    await check(redis)
    assert await redis.set(lost, b"x") is True
    async with redis.pipeline(transaction=False) as pipeline:
        for key in SPREAD:
            pipeline.exists(key)
        assert sum(await pipeline.execute()) == 1


def _node_of(redis: RedisCluster, key: str) -> int:
    node = redis.get_node_from_key(key)
    assert node
    return int(node.port)


@pytest.mark.slow
async def test_a_replica_that_took_over_from_a_hanging_node_is_found(
    anyio_backend: object,
) -> None:
    async with (
        cluster() as nodes,
        nodes.replica(nodes.nodes[1]),
        redis_client(nodes.url, timeout=0.4) as redis,
    ):
        assert isinstance(redis, RedisCluster)
        await redis.get("a")
        lost = next(key for key in SPREAD if _node_of(redis, key) == nodes.nodes[1].port)
        nodes.nodes[1].freeze()
        with anyio.fail_after(30):
            while not await _set_in_time(redis, lost):
                pass
            async with redis.pipeline(transaction=False) as pipeline:
                for key in SPREAD:
                    pipeline.exists(key)
                assert sum(await pipeline.execute()) == 1
        nodes.nodes[1].thaw()


async def _set_in_time(redis: RedisClient, key: str) -> bool:
    try:
        with anyio.fail_after(0.4):
            return bool(await redis.set(key, "x"))
    except REDIS_ERRORS:
        return False


async def test_a_cluster_with_all_new_addresses_is_found_through_the_url(
    nodes: Cluster,
) -> None:
    async with (
        cluster() as before,
        relay(f"{HOST}:{before.nodes[0].port}") as name,
        redis_client(f"redis+cluster://{name.address}", timeout=10) as redis,
    ):
        assert await redis.set("a", "x") is True
        for node in before.nodes:
            await node.stop()
        await name.close()
        after = Relay(f"{HOST}:{nodes.nodes[0].port}")
        after.address = name.address
        await after.open()
        with pytest.raises(REDIS_ERRORS):
            await redis.set("a", "y")
        assert await redis.set("a", "y") is True
        await after.close()


async def test_connections_of_a_burst_are_closed_once_they_are_idle(redis_url: str) -> None:
    async with redis_client(redis_url, timeout=5) as observer:
        await observer.ping()
        before = await open_connections(observer)
        async with redis_client(redis_url, timeout=5) as redis:
            await asyncio.gather(*(redis.set(f"key {n}", n) for n in range(30)))
            assert await open_connections(observer) > before + 10
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(close_idle_connections, redis, 0.01)
                with anyio.fail_after(5):
                    while await open_connections(observer) > before:
                        pass
                tasks.cancel_scope.cancel()
            assert await redis.get("key 29") == b"29"


async def test_idle_connections_to_a_cluster_are_closed(nodes: Cluster) -> None:
    async with redis_client(nodes.url, timeout=10) as redis:
        assert isinstance(redis, RedisCluster)
        await asyncio.gather(*(redis.set(key, 1) for key in SPREAD))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(close_idle_connections, redis, 0.01)
            with anyio.fail_after(5):
                while any(connected(node) for node in redis.get_nodes()):
                    await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        assert await redis.get(SPREAD[0]) == b"1"


async def open_connections(redis: RedisClient) -> int:
    """Return the number of connections to one server."""
    info = await redis.info("clients")
    return int(info["connected_clients"])


def connected(node: ClusterNode) -> bool:
    return any(connection.is_connected for connection in node._free)
