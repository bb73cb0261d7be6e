"""Tests of readers when a worker dies, and when Redis stops or loses data."""

import anyio
import pytest
from redis.asyncio import Redis

from app.errors import Unavailable
from app.infra.embedded.wait import POLL_INTERVAL, until
from app.services.streams import EventStore, RemoteStream
from app.services.streams.keys import lease_key, log_key
from tests.servers import OwnServer
from tests.services.streams.workers import collect, create, event_store, read

pytestmark = pytest.mark.anyio


async def test_every_viewer_gets_one_error_when_the_worker_dies(
    redis_url: str, other: EventStore, redis: Redis
) -> None:
    async with event_store(redis_url) as dying:
        worker = dying.worker
        create(dying).extend([b"0", b"1"])
        with anyio.fail_after(5):
            remote = await other.open("s")
            assert await until(lambda: len(remote.frames) == 2, 5)
    await redis.delete(lease_key(worker))
    assert (await read(remote)).replace(b" ", b"") == b"01lost2"
    again = await other.open("s")
    assert (again.ended, again.failed, again.frames[-1]) == (True, True, b"lost 2")


async def test_the_error_follows_unlogged_frames_that_the_viewer_has_seen(
    redis_url: str, other: EventStore, redis: Redis
) -> None:
    async with event_store(redis_url, lease=0.3) as dying:
        create(dying).extend([b"0", b"1"])
        await other.open("s", after=1)
    with anyio.fail_after(5):
        # The first call waits until the lease has expired.
        assert await read(await other.open("s", after=4), 4) == b"lost 5"
        assert await read(await other.open("s", after=1), 1) == b"lost 2"


async def test_an_impossible_cursor_does_not_add_frames(redis_url: str, other: EventStore) -> None:
    async with event_store(redis_url, lease=0.1) as dying:
        create(dying).extend([b"0"])
        await other.open("s")
    with anyio.fail_after(10):
        assert len((await other.open("s", after=999_999_999)).frames) == 2


async def test_a_reader_ends_when_redis_lost_the_end_of_the_log(
    owner: EventStore, other: EventStore, redis: Redis
) -> None:
    create(owner, "keeps the worker alive")
    stream = create(owner)
    stream.extend([b"0"])
    early = stream.encoded_log()
    stream.extend([b"1"], ended=True)
    assert await until(lambda: stream.fully_logged, 5)
    # Like a failover that loses the last write.
    await redis.set(log_key("s"), early, px=60_000)
    remote = await other.open("s")
    assert isinstance(remote, RemoteStream)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, remote, [], anyio.Event())
            assert await until(lambda: remote.max_ttl_seen > 0, 5)
            # As if the log had not been renewed for ten seconds.
            await redis.pexpire(log_key("s"), 50_000)
    assert remote.failed


async def test_a_reader_ends_when_the_log_is_gone(
    owner: EventStore, other: EventStore, redis: Redis
) -> None:
    stream = create(owner)
    stream.extend([b"0"])
    remote = await other.open("s")
    stream.discard()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, remote, [], anyio.Event())
    assert remote.failed


@pytest.mark.parametrize("damage", ["flushed", "doubled", "cut"])
async def test_a_damaged_log_is_rewritten(
    owner: EventStore, other: EventStore, redis: Redis, damage: str
) -> None:
    stream = create(owner)
    stream.extend([b"0", b"1", b"2"])
    parts: list[bytes] = []
    received = anyio.Event()
    with anyio.fail_after(10):
        remote = await other.open("s")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, remote, parts, received)
            await received.wait()
            whole = await redis.get(log_key("s"))
            assert isinstance(whole, bytes)
            match damage:
                case "flushed":
                    await redis.flushall()
                case "doubled":
                    await redis.append(log_key("s"), whole.split(b"\x1e", 1)[1])
                case "cut":
                    await redis.set(log_key("s"), whole[:-5])
            stream.extend([b"3"])
            stream.extend([b"4"], ended=True)
        assert b"".join(parts) == b"01234"
        assert await until(lambda: stream.fully_logged, 5)
    assert await redis.get(log_key("s")) == stream.encoded_log()
    assert await redis.pttl(log_key("s")) > 0


async def test_a_deleted_log_is_rewritten(owner: EventStore, redis: Redis) -> None:
    stream = create(owner)
    stream.extend([b"0"])
    with anyio.fail_after(10):
        assert await stream.wait_for_first_write()
        await redis.delete(log_key("s"))
        while not await redis.exists(log_key("s")):  # noqa: ASYNC110 - no event reports it
            await anyio.sleep(POLL_INTERVAL)


async def test_an_outage_makes_remote_streams_unavailable_and_then_everything_is_logged(
    own_valkey: OwnServer,
) -> None:
    async with (
        event_store(own_valkey.url) as owner,
        event_store(own_valkey.url) as other,
    ):
        await own_valkey.stop()
        stream = create(owner)
        stream.extend([b"0"])
        with anyio.fail_after(10):
            with pytest.raises(Unavailable):
                await other.open("s")
            await own_valkey.start()
            stream.extend([b"1"], ended=True)
            assert await until(lambda: stream.fully_logged, 5)
            assert await read(await other.open("s")) == b"01"
