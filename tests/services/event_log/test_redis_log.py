"""Two workers' logs on one Redis: what one writes the other reads, whatever happens in between."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from redis.asyncio import Redis

from app.embedded.wait import until
from app.errors import NotFound, Unavailable
from app.redis_client import redis_client
from app.services.event_log import Frames, LoggedTurn, RedisEventLog
from app.services.event_log.batch import lease_key, log_key, watched_key
from app.services.event_log.mirrored import MirroredTurn
from app.services.event_log.ticks import TICK
from tests.servers import OwnServer

pytestmark = pytest.mark.anyio


def lost(turn_id: str, number: int) -> bytes:
    return b"lost %d" % number


@asynccontextmanager
async def log_of_a_worker(
    redis_url: str, *, ticking: bool = True, lease: float = 60, replay: float = 60
) -> AsyncIterator[RedisEventLog]:
    async with redis_client(redis_url, timeout=1) as client, anyio.create_task_group() as tasks:
        log = RedisEventLog(client, ticking=client, lease=lease, grace=60, replay=replay, lost=lost)
        if ticking:
            tasks.start_soon(log.run)
        yield log
        tasks.cancel_scope.cancel()


@pytest.fixture
async def owner(redis_url: str) -> AsyncIterator[RedisEventLog]:
    async with log_of_a_worker(redis_url) as log:
        yield log


@pytest.fixture
async def other(redis_url: str) -> AsyncIterator[RedisEventLog]:
    async with log_of_a_worker(redis_url) as log:
        yield log


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


async def seen(turn: Frames, after: int = -1) -> bytes:
    with anyio.fail_after(10):
        return b" ".join([frames async for frames in turn.follow(after)])


async def collect(turn: Frames, into: list[bytes], told: anyio.Event) -> None:
    async for frames in turn.follow():
        into.append(frames)
        told.set()


def watched_for(turn: LoggedTurn) -> float:
    return max(0, turn.watched_until - anyio.current_time())


async def test_another_worker_reads_a_turn_as_it_goes_and_after_it(
    owner: RedisEventLog, other: RedisEventLog
) -> None:
    turn = owner.begin("t", "c")
    turn.add([b"0", b"1"])
    parts: list[bytes] = []
    told = anyio.Event()
    with anyio.fail_after(10):
        mirror = await other.open("t")
        assert mirror.header.conversation_id == "c"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, mirror, parts, told)
            await told.wait()
            turn.add([b"2"])
            turn.add([b"3", b"4"], ended=True)
        assert b"".join(parts) == b"01234"
        assert await seen(await other.open("t"), 2) == b"34"
        assert await seen(await owner.open("t")) == b"01234"


async def test_a_turn_of_this_worker_is_read_from_memory(redis_url: str) -> None:
    async with log_of_a_worker(redis_url, ticking=False) as log:
        turn = log.begin("t", "c")
        assert await log.open("t") is turn


async def test_a_turn_that_nobody_knows_is_not_found(other: RedisEventLog) -> None:
    with pytest.raises(NotFound):
        await other.open("t")
    with pytest.raises(NotFound):
        await other.stop("t")


async def test_a_turn_that_begins_while_it_is_looked_for_is_found(
    owner: RedisEventLog, other: RedisEventLog
) -> None:
    async with anyio.create_task_group() as tasks:
        found: list[Frames] = []

        async def look() -> None:
            found.append(await other.open("t"))

        tasks.start_soon(look)
        await anyio.wait_all_tasks_blocked()
        owner.begin("t", "c").add([b"0"], ended=True)
    assert await seen(found[0]) == b"0"


async def test_only_the_worker_that_runs_a_turn_is_told_to_stop_it(
    owner: RedisEventLog, other: RedisEventLog
) -> None:
    stopped, told = [], anyio.Event()

    def stop(turn_id: str) -> None:
        stopped.append(turn_id)
        told.set()

    owner.on_stop(stop)
    other.on_stop(lambda turn_id: stopped.append("wrong"))
    turn = owner.begin("t", "c")
    other.begin("u", "c")
    with anyio.fail_after(5):
        await other.stop("t")
        await told.wait()
    turn.add([b"0"], ended=True)
    await owner.flush()
    await other.stop("t")
    assert set(stopped) == {"t"}


async def test_whoever_watches_elsewhere_is_known_of(
    owner: RedisEventLog, other: RedisEventLog
) -> None:
    turn = owner.begin("t", "c")
    turn.add([b"0"])
    with anyio.fail_after(5):
        assert await until(lambda: turn.looked_at is not None, 5)
        assert not watched_for(turn)
        mirror = await other.open("t")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, mirror, [], anyio.Event())
            assert await until(lambda: watched_for(turn) > 50, 5)
            tasks.cancel_scope.cancel()


async def test_a_turn_whose_worker_died_ends_with_one_error_for_everyone(
    redis_url: str, other: RedisEventLog, redis: Redis
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


async def test_a_viewer_that_knows_more_than_the_log_waits_for_it(
    owner: RedisEventLog, other: RedisEventLog
) -> None:
    turn = owner.begin("t", "c")
    turn.add([b"0"])
    await other.open("t")
    async with anyio.create_task_group() as tasks:
        found: list[Frames] = []

        async def come_back() -> None:
            found.append(await other.open("t", after=2))

        tasks.start_soon(come_back)
        turn.add([b"1", b"2"])
    turn.add([b"3"], ended=True)
    assert await seen(found[0], 2) == b"3"


async def test_a_viewer_that_knows_what_nobody_logged_is_told_of_the_loss_after_it(
    redis_url: str, other: RedisEventLog, redis: Redis
) -> None:
    async with log_of_a_worker(redis_url, lease=0.3) as log:
        log.begin("t", "c").add([b"0", b"1"])
        await other.open("t", after=1)
    with anyio.fail_after(5):
        # The lease has yet to lapse; then it has.
        assert await seen(await other.open("t", after=4), 4) == b"lost 5"
        assert await seen(await other.open("t", after=1), 1) == b"lost 2"


async def test_a_cursor_that_nobody_can_have_is_given_back_after_a_while(redis_url: str) -> None:
    async with (
        log_of_a_worker(redis_url, lease=0.3) as log,
        log_of_a_worker(redis_url, lease=0.3) as other,
    ):
        log.begin("t", "c").add([b"0"])
        with anyio.fail_after(5):
            assert len((await other.open("t", after=999)).frames) == 1


async def test_a_cursor_far_beyond_all_costs_nothing(redis_url: str, other: RedisEventLog) -> None:
    async with log_of_a_worker(redis_url, lease=0.1) as log:
        log.begin("t", "c").add([b"0"])
        await other.open("t")
    with anyio.fail_after(10):
        assert len((await other.open("t", after=999_999_999)).frames) == 2


async def test_a_reader_ends_though_the_writer_takes_the_turn_for_done(
    owner: RedisEventLog, other: RedisEventLog, redis: Redis
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
    assert isinstance(mirror, MirroredTurn)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, mirror, [], anyio.Event())
            assert await until(lambda: mirror.freshest > 0, 5)
            # As if so much time had passed.
            await redis.pexpire(log_key("t"), 50_000)
    assert mirror.failed


async def test_a_reader_ends_though_the_log_is_gone_and_stays_gone(
    owner: RedisEventLog, other: RedisEventLog, redis: Redis
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
    owner: RedisEventLog, other: RedisEventLog, redis: Redis, damage: str
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
    owner: RedisEventLog, redis: Redis
) -> None:
    turn = owner.begin("t", "c")
    turn.add([b"0"])
    with anyio.fail_after(10):
        while not await redis.exists(log_key("t")):
            pass
        await redis.delete(log_key("t"))
        while not await redis.exists(log_key("t")):
            pass


async def test_every_key_has_an_expiry_and_an_ended_turn_only_its_replay(
    owner: RedisEventLog, other: RedisEventLog, redis: Redis
) -> None:
    await redis.set("idempotency:0", "", px=5_000)
    turns = [owner.begin(f"t{n}", "c") for n in range(3)]
    turns[0].claim = "idempotency:0"
    mirror = await other.open("t0")
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, mirror, [], anyio.Event())
            await other.stop("t1")
            expected = {log_key("t0"), watched_key("t0"), lease_key(owner.worker), "idempotency:0"}
            expiries: dict[str, int] = {}
            while not expected <= expiries.keys() or expiries["idempotency:0"] <= 5_000:
                expiries = {k.decode(): await redis.pttl(k) async for k in redis.scan_iter()}
            assert all(expiry > 0 for expiry in expiries.values()), expiries
            for turn in turns:
                turn.add([b"0"], ended=True)
        await owner.flush()
    assert 0 < await redis.pttl(log_key("t0")) <= 60_000


async def test_nothing_ticks_while_no_turn_runs(owner: RedisEventLog, redis: Redis) -> None:
    owner.begin("t", "c").add([b"0"], ended=True)
    await owner.flush()
    await redis.delete(lease_key(owner.worker))
    # Every tick renews the lease; one may have been on its way.
    ticks = 0
    with anyio.move_on_after(5 * TICK):
        while True:
            ticks += await redis.delete(lease_key(owner.worker))
    assert ticks <= 1


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
