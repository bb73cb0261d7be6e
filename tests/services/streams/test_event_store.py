"""Two workers' logs on one Redis: what one writes the other reads."""

import anyio
import pytest
from redis.asyncio import Redis

from app.errors import NotFound
from app.infra.embedded.wait import until
from app.services.streams import EventStore, LocalStream, StreamBuffer
from app.services.streams.batch import lease_key, log_key, watched_key
from app.services.streams.log_sync import TICK
from tests.services.streams.workers import collect, log_of_a_worker, seen

pytestmark = pytest.mark.anyio


def watched_for(turn: LocalStream) -> float:
    return max(0, turn.watched_until - anyio.current_time())


async def test_another_worker_reads_a_turn_as_it_goes_and_after_it(
    owner: EventStore, other: EventStore
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


async def test_a_turn_that_nobody_knows_is_not_found(other: EventStore) -> None:
    with pytest.raises(NotFound):
        await other.open("t")
    with pytest.raises(NotFound):
        await other.stop("t")


async def test_a_turn_that_begins_while_it_is_looked_for_is_found(
    owner: EventStore, other: EventStore
) -> None:
    async with anyio.create_task_group() as tasks:
        found: list[StreamBuffer] = []

        async def look() -> None:
            found.append(await other.open("t"))

        tasks.start_soon(look)
        await anyio.wait_all_tasks_blocked()
        owner.begin("t", "c").add([b"0"], ended=True)
    assert await seen(found[0]) == b"0"


async def test_only_the_worker_that_runs_a_turn_is_told_to_stop_it(
    owner: EventStore, other: EventStore
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


async def test_whoever_watches_elsewhere_is_known_of(owner: EventStore, other: EventStore) -> None:
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


async def test_a_viewer_that_knows_more_than_the_log_waits_for_it(
    owner: EventStore, other: EventStore
) -> None:
    turn = owner.begin("t", "c")
    turn.add([b"0"])
    await other.open("t")
    async with anyio.create_task_group() as tasks:
        found: list[StreamBuffer] = []

        async def come_back() -> None:
            found.append(await other.open("t", after=2))

        tasks.start_soon(come_back)
        turn.add([b"1", b"2"])
    turn.add([b"3"], ended=True)
    assert await seen(found[0], 2) == b"3"


async def test_a_cursor_that_nobody_can_have_is_given_back_after_a_while(redis_url: str) -> None:
    async with (
        log_of_a_worker(redis_url, lease=0.3) as log,
        log_of_a_worker(redis_url, lease=0.3) as other,
    ):
        log.begin("t", "c").add([b"0"])
        with anyio.fail_after(5):
            assert len((await other.open("t", after=999)).frames) == 1


async def test_every_key_has_an_expiry_and_an_ended_turn_only_its_replay(
    owner: EventStore, other: EventStore, redis: Redis
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


async def test_nothing_ticks_while_no_turn_runs(owner: EventStore, redis: Redis) -> None:
    owner.begin("t", "c").add([b"0"], ended=True)
    await owner.flush()
    await redis.delete(lease_key(owner.worker))
    # Every tick renews the lease; one may have been on its way.
    ticks = 0
    with anyio.move_on_after(5 * TICK):
        while True:
            ticks += await redis.delete(lease_key(owner.worker))
    assert ticks <= 1
