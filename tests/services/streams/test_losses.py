"""What readers get when a worker dies, or Redis goes away or loses what it had."""

import anyio
import pytest
from redis.asyncio import Redis

from app.errors import Unavailable
from app.infra.embedded.wait import until
from app.services.streams import EventStore
from app.services.streams.batch import lease_key, log_key
from app.services.streams.remote import RemoteStream
from tests.servers import OwnServer
from tests.services.streams.workers import collect, log_of_a_worker, seen

pytestmark = pytest.mark.anyio


async def test_a_turn_whose_worker_died_ends_with_one_error_for_everyone(
    redis_url: str, other: EventStore, redis: Redis
) -> None:
    async with log_of_a_worker(redis_url) as log:
        worker = log.worker
        log.begin("t", "c").add([b"0", b"1"])
        with anyio.fail_after(5):
            mirror = await other.open("t")
            assert await until(lambda: len(mirror.frames) == 2, 5)
    await redis.delete(lease_key(worker))
    assert (await seen(mirror)).replace(b" ", b"") == b"01lost2"
    again = await other.open("t")
    assert (again.ended, again.failed, again.frames[-1]) == (True, True, b"lost 2")


async def test_a_viewer_that_knows_what_nobody_logged_is_told_of_the_loss_after_it(
    redis_url: str, other: EventStore, redis: Redis
) -> None:
    async with log_of_a_worker(redis_url, lease=0.3) as log:
        log.begin("t", "c").add([b"0", b"1"])
        await other.open("t", after=1)
    with anyio.fail_after(5):
        # The lease has yet to lapse; then it has.
        assert await seen(await other.open("t", after=4), 4) == b"lost 5"
        assert await seen(await other.open("t", after=1), 1) == b"lost 2"


async def test_a_cursor_far_beyond_all_costs_nothing(redis_url: str, other: EventStore) -> None:
    async with log_of_a_worker(redis_url, lease=0.1) as log:
        log.begin("t", "c").add([b"0"])
        await other.open("t")
    with anyio.fail_after(10):
        assert len((await other.open("t", after=999_999_999)).frames) == 2


async def test_a_reader_ends_though_the_writer_takes_the_turn_for_done(
    owner: EventStore, other: EventStore, redis: Redis
) -> None:
    owner.begin("keeps the worker alive", "c")
    turn = owner.begin("t", "c")
    turn.add([b"0"])
    early = b""
    while not early.endswith(b"0\x1e"):
        early = (await redis.get(log_key("t"))) or b""  # type: ignore[assignment]
    turn.add([b"1"], ended=True)
    assert await until(lambda: turn.complete, 5)
    # As a failover does that loses what came last.
    await redis.set(log_key("t"), early, px=60_000)
    mirror = await other.open("t")
    assert isinstance(mirror, RemoteStream)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, mirror, [], anyio.Event())
            assert await until(lambda: mirror.freshest > 0, 5)
            # As if so much time had passed.
            await redis.pexpire(log_key("t"), 50_000)
    assert mirror.failed


async def test_a_reader_ends_though_the_log_is_gone_and_stays_gone(
    owner: EventStore, other: EventStore, redis: Redis
) -> None:
    turn = owner.begin("t", "c")
    turn.add([b"0"])
    mirror = await other.open("t")
    turn.discard()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, mirror, [], anyio.Event())
    assert mirror.failed


@pytest.mark.parametrize("damage", ["flushed", "doubled", "cut"])
async def test_a_damaged_log_is_written_anew(
    owner: EventStore, other: EventStore, redis: Redis, damage: str
) -> None:
    turn = owner.begin("t", "c")
    turn.add([b"0", b"1", b"2"])
    parts: list[bytes] = []
    told = anyio.Event()
    with anyio.fail_after(10):
        mirror = await other.open("t")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, mirror, parts, told)
            await told.wait()
            whole = await redis.get(log_key("t"))
            assert isinstance(whole, bytes)
            match damage:
                case "flushed":
                    await redis.flushall()
                case "doubled":
                    await redis.append(log_key("t"), whole.split(b"\x1e", 1)[1])
                case "cut":
                    await redis.set(log_key("t"), whole[:-5])
            turn.add([b"3"])
            turn.add([b"4"], ended=True)
        assert b"".join(parts) == b"01234"
        while await redis.get(log_key("t")) != turn.whole():
            pass
    assert await redis.pttl(log_key("t")) > 0


async def test_a_log_that_expires_is_kept_alive_or_written_again(
    owner: EventStore, redis: Redis
) -> None:
    turn = owner.begin("t", "c")
    turn.add([b"0"])
    with anyio.fail_after(10):
        while not await redis.exists(log_key("t")):
            pass
        await redis.delete(log_key("t"))
        while not await redis.exists(log_key("t")):
            pass


async def test_without_redis_turns_of_others_cannot_be_looked_up_and_then_all_is_logged(
    own_valkey: OwnServer,
) -> None:
    async with (
        log_of_a_worker(own_valkey.url) as log,
        log_of_a_worker(own_valkey.url) as other,
    ):
        await own_valkey.stop()
        turn = log.begin("t", "c")
        turn.add([b"0"])
        with anyio.fail_after(10):
            with pytest.raises(Unavailable):
                await other.open("t")
            await own_valkey.start()
            turn.add([b"1"], ended=True)
            assert await until(lambda: turn.complete, 5)
            assert await seen(await other.open("t")) == b"01"
