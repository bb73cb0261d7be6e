"""Tests of running producers: failures, limits, shutdown, abandonment, idempotency."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import pytest
from redis.asyncio import Redis

from app.errors import (
    ChatError,
    ModelFailed,
    ShuttingDown,
    TurnLost,
    TurnRunning,
    Unavailable,
    Unprocessable,
)
from app.infra.embedded.wait import until
from app.services.streams import (
    EventStore,
    IdempotencyKey,
    IdempotencyStore,
    LocalStream,
    StopReason,
    StreamBuffer,
    StreamRunner,
)
from tests.services.streams.workers import items, lost

pytestmark = pytest.mark.anyio

KEY = IdempotencyKey.for_request("key", b"request")


class Script:
    """A producer of the frames "0", "1" and "end".

    It waits for `first` before the first frame, and for `rest` or `stop` before the last. It raises
    `error` instead of the first or the last frame.
    """

    def __init__(
        self,
        *,
        first: anyio.Event | None = None,
        rest: anyio.Event | None = None,
        error: Exception | None = None,
        error_at: int = 2,
    ) -> None:
        self.first = first
        self.rest = rest
        self.error = error
        self.error_at = error_at
        self.stopped: list[StopReason] = []
        self._scope = anyio.CancelScope()

    async def produce(self, stream: LocalStream) -> None:
        if self.first:
            await self.first.wait()
        for number, frame in enumerate((b"0", b"1", b"end")):
            if number == self.error_at and self.error:
                raise self.error
            if frame != b"end":
                stream.append(frame)
                continue
            if self.rest:
                with self._scope:
                    await self.rest.wait()
            stream.extend([frame], ended=True)

    def stop(self, reason: StopReason) -> None:
        self.stopped.append(reason)
        self._scope.cancel()

    def error_frame(self, number: int, error: ChatError) -> bytes:
        return b"%d:%b" % (number, type(error).__name__.encode())


class Unstoppable(Script):
    """A producer that never ends by itself."""

    def __init__(self) -> None:
        super().__init__(rest=anyio.Event())

    def stop(self, reason: StopReason) -> None:
        self.stopped.append(reason)


class Uncancellable(Unstoppable):
    """A producer that also suppresses its first cancellation."""

    async def produce(self, stream: LocalStream) -> None:
        with suppress(asyncio.CancelledError):
            await super().produce(stream)
        await anyio.sleep_forever()


@asynccontextmanager
async def worker(
    redis: Redis, *, grace: float = 60, drain_time: float = 60, stop_timeout: float = 60
) -> AsyncIterator[StreamRunner]:
    async with anyio.create_task_group() as tasks:
        store = EventStore(
            redis, sync_redis=redis, lease=60, grace=grace, replay=60, encode_lost=lost
        )
        runner = StreamRunner(
            event_store=store,
            idempotency=IdempotencyStore(redis),
            max_streams=2,
            grace=grace,
            drain_time=drain_time,
            stop_timeout=stop_timeout,
        )
        tasks.start_soon(store.run)
        tasks.start_soon(runner.drain)
        yield runner
        runner.shutdown_now()
        await runner.drained.wait()
        tasks.cancel_scope.cancel()


async def joined(stream: StreamBuffer) -> bytes:
    return b"".join([item async for item in items(stream)])


async def read(runner: StreamRunner, stream_id: str) -> bytes:
    return await joined(await runner.open(stream_id))


async def test_a_failing_producer_ends_its_own_stream_only(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    rest = anyio.Event()
    with anyio.fail_after(5):
        async with worker(redis) as runner:
            await runner.start(Script(rest=rest), "sound")
            await runner.start(Script(error=ModelFailed("refused")), "refused")
            assert await read(runner, "refused") == b"012:ModelFailed"
            await runner.start(Script(error=RuntimeError("bug")), "broken")
            assert await read(runner, "broken") == b"012:TurnLost"
            rest.set()
            assert await read(runner, "sound") == b"01end"
    assert len([record for record in caplog.records if record.exc_info]) == 1


@pytest.mark.parametrize(
    ("error", "raised"),
    [(ModelFailed("refused"), ModelFailed), (RuntimeError("bug"), TurnLost)],
)
async def test_start_raises_what_the_producer_raised_before_its_first_frame(
    redis: Redis, error: Exception, raised: type[Exception]
) -> None:
    with anyio.fail_after(5):
        async with worker(redis) as runner:
            with pytest.raises(raised):
                await runner.start(Script(error=error, error_at=0), "s")
            assert runner.running == 0


async def test_a_stream_that_its_producer_does_not_end_fails(redis: Redis) -> None:
    class Unending(Script):
        async def produce(self, stream: LocalStream) -> None:
            stream.append(b"0")

    with anyio.fail_after(5):
        async with worker(redis) as runner:
            await runner.start(Unending(), "s")
            assert await read(runner, "s") == b"01:TurnLost"


async def test_a_stream_ends_even_if_its_error_cannot_be_encoded(redis: Redis) -> None:
    class UnencodableError(Script):
        def error_frame(self, number: int, error: ChatError) -> bytes:
            raise RuntimeError("bug")

    with anyio.fail_after(5):
        async with worker(redis) as runner:
            with pytest.raises(TurnLost):
                await runner.start(UnencodableError(error=RuntimeError("bug"), error_at=0), "s")
            assert runner.running == 0


async def test_stop_reaches_the_producer(redis: Redis) -> None:
    with anyio.fail_after(5):
        async with worker(redis) as runner, worker(redis) as other:
            script = Script(rest=anyio.Event())
            await runner.start(script, "s")
            await other.stop("s")
            assert await read(runner, "s") == b"01end"
    assert set(script.stopped) == {"stopped"}


async def test_draining_refuses_new_streams_and_waits_for_running_ones(redis: Redis) -> None:
    rest = anyio.Event()
    with anyio.fail_after(5):
        async with worker(redis) as runner:
            await runner.start(Script(rest=rest), "s")
            runner.draining.set()
            with pytest.raises(ShuttingDown):
                await runner.start(Script(), "t")
            rest.set()
            assert await read(runner, "s") == b"01end"
            await runner.drained.wait()


async def test_streams_are_stopped_when_the_drain_time_is_over(redis: Redis) -> None:
    script = Script(rest=anyio.Event())
    with anyio.fail_after(5):
        async with worker(redis, drain_time=0.05) as runner:
            await runner.start(script, "s")
            runner.draining.set()
            assert await read(runner, "s") == b"01end"
            await runner.drained.wait()
    assert script.stopped == ["shutdown"]


@pytest.mark.parametrize("script", [Unstoppable, Uncancellable])
async def test_a_producer_that_ignores_the_shutdown_is_cancelled(
    redis: Redis, script: type[Script]
) -> None:
    with anyio.fail_after(5):
        async with worker(redis, drain_time=0.05, stop_timeout=0.05) as runner:
            await runner.start(script(), "s")
            runner.draining.set()
            assert await read(runner, "s") == b"012:ShuttingDown"
            await runner.drained.wait()


async def test_shutdown_now_does_not_wait_for_the_drain_time(redis: Redis) -> None:
    with anyio.fail_after(5):
        async with worker(redis) as runner:
            await runner.start(Script(rest=anyio.Event()), "s")
            runner.shutdown_now()
            assert await read(runner, "s") == b"01end"


async def test_a_full_worker_refuses_new_streams(redis: Redis) -> None:
    rest = anyio.Event()
    with anyio.fail_after(5):
        async with worker(redis) as runner:
            await runner.start(Script(rest=rest), "s0")
            await runner.start(Script(rest=rest), "s1")
            with pytest.raises(Unavailable):
                await runner.start(Script(), "s2")
            rest.set()
            await read(runner, "s0")
            await runner.start(Script(), "s2")


async def test_a_stream_without_viewers_is_abandoned(redis: Redis) -> None:
    script = Script(rest=anyio.Event())
    with anyio.fail_after(5):
        async with worker(redis, grace=0) as runner:
            await runner.start(script, "s")
            assert await until(lambda: runner.running == 0, 5)
    assert script.stopped == ["abandoned"]


async def test_a_watched_stream_is_not_abandoned_when_its_first_caller_leaves(redis: Redis) -> None:
    first, rest = anyio.Event(), anyio.Event()
    script = Script(first=first, rest=rest)
    with anyio.fail_after(5):
        async with worker(redis, grace=0) as runner, anyio.create_task_group() as tasks:

            async def start() -> None:
                await runner.start(script, "s")

            tasks.start_soon(start)
            await anyio.wait_all_tasks_blocked()
            stream = await runner.open("s")
            seen: list[bytes] = []

            async def watch() -> None:
                seen.append(await joined(stream))

            tasks.start_soon(watch)
            assert await until(lambda: stream.viewers == 1, 5)
            # `start` returns now, and its caller does not follow the stream.
            first.set()
            assert await until(lambda: len(stream.frames) == 2, 5)
            rest.set()
    assert (seen, script.stopped) == ([b"01end"], [])


async def test_concurrent_requests_with_one_key_produce_one_stream(redis: Redis) -> None:
    first = anyio.Event()
    with anyio.fail_after(5):
        async with (
            worker(redis) as one,
            worker(redis) as other,
            anyio.create_task_group() as tasks,
        ):
            started: list[str] = []
            refused: list[str] = []

            async def ask(runner: StreamRunner, stream_id: str) -> None:
                try:
                    started.append(await runner.start(Script(first=first), stream_id, key=KEY))
                except TurnRunning as error:
                    refused.append(error.turn_id)
                    first.set()

            tasks.start_soon(ask, one, "s0")
            tasks.start_soon(ask, other, "s1")
            assert await until(lambda: len(started) == 1 == len(refused), 5)
            assert started == refused
            assert await read(other, started[0]) == b"01end"
            assert await read(one, started[0]) == b"01end"
            assert await other.start(Script(), "s2", key=KEY) == started[0]
            with pytest.raises(Unprocessable):
                await one.start(
                    Script(), "s3", key=IdempotencyKey.for_request("key", b"another request")
                )


async def test_owners_do_not_share_keys(redis: Redis) -> None:
    with anyio.fail_after(5):
        async with worker(redis) as runner:
            for owner in ("", "anna", "ben"):
                key = IdempotencyKey.for_request("key", f"by {owner}".encode(), owner)
                stream_id = f"of {owner}"
                assert await runner.start(Script(), stream_id, owner=owner, key=key) == stream_id


async def test_a_key_whose_stream_failed_starts_a_new_one(redis: Redis) -> None:
    with anyio.fail_after(5):
        async with worker(redis) as runner:
            failing = Script(error=ModelFailed("refused"))
            assert await runner.start(failing, "s0", key=KEY) == "s0"
            await read(runner, "s0")
            assert await runner.start(Script(), "s1", key=KEY) == "s1"
            await read(runner, "s1")
            assert await runner.start(Script(), "s2", key=KEY) == "s1"
