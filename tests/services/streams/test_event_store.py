"""Tests of two event stores on one Redis: one writes, the other reads."""

import anyio
import pytest
from redis.asyncio import Redis

from app.errors import NotFound
from app.infra.embedded.wait import until
from app.services.streams import EventStore, LocalStream, StreamBuffer
from app.services.streams.keys import lease_key, log_key, remote_viewers_key, stop_key
from app.services.streams.log_sync import SYNC_INTERVAL
from tests.services.streams.workers import collect, create, event_store, read

pytestmark = pytest.mark.anyio


def remote_viewers_time(stream: LocalStream) -> float:
    return max(0, stream.remote_viewers_until - anyio.current_time())


async def test_another_worker_reads_a_stream_while_it_runs_and_afterwards(
    owner: EventStore, other: EventStore
) -> None:
    stream = create(owner)
    stream.extend([b"0", b"1"])
    parts: list[bytes] = []
    received = anyio.Event()
    with anyio.fail_after(10):
        remote = await other.open("s")
        assert remote.header.metadata == "metadata"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, remote, parts, received)
            await received.wait()
            stream.extend([b"2"])
            stream.extend([b"3", b"4"], ended=True)
        assert b"".join(parts) == b"01234"
        assert await read(await other.open("s"), 2) == b"34"
        assert await read(await owner.open("s")) == b"01234"


async def test_a_local_stream_is_read_from_memory(redis_url: str) -> None:
    async with event_store(redis_url, syncing=False) as store:
        stream = create(store)
        assert await store.open("s") is stream


async def test_an_unknown_stream_is_not_found(other: EventStore) -> None:
    with pytest.raises(NotFound):
        await other.open("s")
    with pytest.raises(NotFound):
        await other.stop("s")


async def test_a_stream_is_found_by_its_owner_alone(owner: EventStore, other: EventStore) -> None:
    create(owner, "owned", "anna").extend([b"0"])
    create(owner, "shared").extend([b"0"])
    for store in (owner, other):
        assert (await store.open("owned", owner="anna")).frames == [b"0"]
        for stream_id, caller in (("owned", ""), ("owned", "ben"), ("shared", "ben")):
            with pytest.raises(NotFound):
                await store.open(stream_id, owner=caller)
            with pytest.raises(NotFound):
                await store.open_settled(stream_id, owner=caller)
            with pytest.raises(NotFound):
                await store.stop(stream_id, owner=caller)


async def test_a_stream_created_during_the_lookup_is_found(
    owner: EventStore, other: EventStore
) -> None:
    async with anyio.create_task_group() as tasks:
        found: list[StreamBuffer] = []

        async def open_stream() -> None:
            found.append(await other.open("s"))

        tasks.start_soon(open_stream)
        await anyio.wait_all_tasks_blocked()
        create(owner).extend([b"0"], ended=True)
    assert await read(found[0]) == b"0"


async def test_only_the_worker_that_runs_a_stream_stops_it(
    owner: EventStore, other: EventStore
) -> None:
    stopped: list[str] = []
    received = anyio.Event()

    def stop() -> None:
        stopped.append("s")
        received.set()

    stream = owner.create("s", "metadata", stop)
    other.create("u", "metadata", lambda: stopped.append("u"))
    with anyio.fail_after(5):
        await other.stop("s")
        await received.wait()
    stream.extend([b"0"], ended=True)
    await owner.flush()
    await other.stop("s")
    await owner.stop("s")
    assert set(stopped) == {"s"}


async def test_viewers_on_other_workers_are_reported(owner: EventStore, other: EventStore) -> None:
    stream = create(owner)
    stream.extend([b"0"])
    with anyio.fail_after(5):
        assert await until(lambda: stream.remote_viewers_checked_at is not None, 5)
        assert not remote_viewers_time(stream)
        remote = await other.open("s")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, remote, [], anyio.Event())
            assert await until(lambda: remote_viewers_time(stream) > 50, 5)
            tasks.cancel_scope.cancel()


async def test_opening_waits_for_frames_that_the_viewer_has_seen(
    owner: EventStore, other: EventStore
) -> None:
    stream = create(owner)
    stream.extend([b"0"])
    await other.open("s")
    async with anyio.create_task_group() as tasks:
        found: list[StreamBuffer] = []

        async def open_with_cursor() -> None:
            found.append(await other.open("s", after=2))

        tasks.start_soon(open_with_cursor)
        stream.extend([b"1", b"2"])
    stream.extend([b"3"], ended=True)
    assert await read(found[0], 2) == b"3"


async def test_waiting_for_an_impossible_cursor_is_bounded(redis_url: str) -> None:
    async with (
        event_store(redis_url, lease=0.3) as store,
        event_store(redis_url, lease=0.3) as other,
    ):
        create(store).extend([b"0"])
        with anyio.fail_after(5):
            assert len((await other.open("s", after=999)).frames) == 1


async def test_every_key_expires(owner: EventStore, other: EventStore, redis: Redis) -> None:
    await redis.set("idempotency:0", "", px=5_000)
    streams = [create(owner, f"s{n}") for n in range(3)]
    streams[0].idempotency_key = "idempotency:0"
    remote = await other.open("s0")
    expected = {
        log_key("s0"),
        remote_viewers_key("s0"),
        lease_key(owner.worker),
        stop_key(owner.worker),
        "idempotency:0",
    }
    seen: set[str] = set()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, remote, [], anyio.Event())
            await other.stop("s1")
            while not expected <= seen or await redis.pttl("idempotency:0") <= 5_000:
                expiries = {k.decode(): await redis.pttl(k) async for k in redis.scan_iter()}
                # -2: the key expired after it was listed.
                assert -1 not in expiries.values(), expiries
                seen |= expiries.keys()
            for stream in streams:
                stream.extend([b"0"], ended=True)
        await owner.flush()
    assert 0 < await redis.pttl(log_key("s0")) <= 60_000


async def test_redis_is_not_used_while_there_are_no_streams(
    owner: EventStore, redis: Redis
) -> None:
    create(owner).extend([b"0"], ended=True)
    await owner.flush()
    await redis.delete(lease_key(owner.worker))
    # Each round trip renews the lease; one may have been under way.
    renewals = 0
    with anyio.move_on_after(5 * SYNC_INTERVAL):
        while True:
            renewals += await redis.delete(lease_key(owner.worker))
    assert renewals <= 1
