"""Turns run apart from each other: one that breaks ends with an error and no other with it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from redis.asyncio import Redis

from app.errors import ShuttingDown, TurnLost, TurnRunning, Unavailable, Unprocessable
from app.infra.embedded.wait import until
from app.schemas import ChatRequest, Event, Retrieval
from app.services.chat.answerer import Answerer
from app.services.chat.memory import RedisMemory
from app.services.metrics.registry import Metrics
from app.services.models.completion import Delta
from app.services.models.prompt import Prompt
from app.services.streams import EventStore
from app.services.streams.idempotency import IdempotencyStore
from app.services.streams.runner import StreamRunner
from tests.services.samples import source
from tests.services.streams.following import joined

pytestmark = pytest.mark.anyio


class Shelf:
    """A retriever that finds one source, at once or when it may, or breaks."""

    def __init__(self, opens: anyio.Event | None = None) -> None:
        self.opens = opens

    async def search(self, question: str, creator: str | None) -> Retrieval:
        if question == "break the search":
            raise RuntimeError("broken on purpose")
        if self.opens is not None:
            await self.opens.wait()
        return Retrieval("global", (source(1, "Yes."),), None, (), "hybrid")


class Voice:
    """A model that says one word and waits for leave to say the next, or breaks."""

    def __init__(self) -> None:
        self.leave = anyio.Event()

    async def stream(self, prompt: Prompt, take: Callable[[Delta], None]) -> None:
        take(Delta("One"))
        if prompt.query == "break the answer":
            raise RuntimeError("broken on purpose")
        await self.leave.wait()
        take(Delta(" two"))


def encode(turn_id: str, number: int, event: Event) -> bytes:
    return f"{type(event).__name__} ".encode()


def lost(turn_id: str, number: int) -> bytes:
    return b"Lost "


@asynccontextmanager
async def running(
    redis: Redis,
    voice: Voice,
    shelf: Shelf | None = None,
    grace: float = 60,
    drain_time: float = 60,
    encode: Callable[[str, int, Event], bytes] = encode,
) -> AsyncIterator[StreamRunner]:
    async with anyio.create_task_group() as tasks:
        event_log = EventStore(redis, ticking=redis, lease=60, grace=grace, replay=60, lost=lost)
        runner = StreamRunner(
            answerer=Answerer(
                retriever=shelf or Shelf(),
                model=voice,
                memory=RedisMemory(redis, turns=10, ttl=60, timeout=5),
                rewriter=None,
                rewrite_timeout=1,
                history_tokens=100,
                answer_timeout=60,
            ),
            event_log=event_log,
            claims=IdempotencyStore(redis),
            encode=encode,
            metrics=Metrics(),
            most_turns=2,
            grace=grace,
            drain_time=drain_time,
        )
        tasks.start_soon(event_log.run)
        tasks.start_soon(runner.drain)
        yield runner
        runner.shutdown_now()
        await runner.drained.wait()
        tasks.cancel_scope.cancel()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as redis:
        yield redis


async def read(runner: StreamRunner, turn_id: str) -> bytes:
    turn = await runner.open(turn_id)
    return await joined(turn)


async def test_a_turn_that_breaks_ends_with_an_error_and_leaves_the_others_alone(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    voice = Voice()
    with anyio.fail_after(5):
        async with running(redis, voice) as runner:
            sound = await runner.start(ChatRequest("fine"))
            broken = await runner.start(ChatRequest("break the answer"))
            assert await read(runner, broken) == b"Sources Token Failed "
            with pytest.raises(TurnLost):
                await runner.start(ChatRequest("break the search"))
            voice.leave.set()
            assert await read(runner, sound) == b"Sources Token Token Done "
    assert len([record for record in caplog.records if record.exc_info]) == 2


async def test_a_turn_whose_end_cannot_be_told_is_over_all_the_same(redis: Redis) -> None:
    def speechless(turn_id: str, number: int, event: Event) -> bytes:
        raise RuntimeError("broken on purpose")

    with anyio.fail_after(5):
        async with running(redis, Voice(), encode=speechless) as runner:
            with pytest.raises(TurnLost):
                await runner.start(ChatRequest("fine"))
            assert runner.running == 0


async def test_a_drain_takes_nothing_new_and_waits_for_what_runs(redis: Redis) -> None:
    voice = Voice()
    with anyio.fail_after(5):
        async with running(redis, voice) as runner:
            turn_id = await runner.start(ChatRequest("fine"))
            runner.draining.set()
            with pytest.raises(ShuttingDown):
                await runner.start(ChatRequest("fine"))
            voice.leave.set()
            assert await read(runner, turn_id) == b"Sources Token Token Done "
            await runner.drained.wait()


async def test_a_drain_that_takes_too_long_ends_what_is_left_and_keeps_what_was_said(
    redis: Redis,
) -> None:
    with anyio.fail_after(5):
        async with running(redis, Voice(), drain_time=0.05) as runner:
            turn_id = await runner.start(ChatRequest("fine", conversation_id="c"))
            runner.draining.set()
            assert await read(runner, turn_id) == b"Sources Token Failed "
            await runner.drained.wait()
        kept = await RedisMemory(redis, turns=10, ttl=60, timeout=5).recall("c")
    assert [turn.answer for turn in kept] == ["One"]


async def test_whoever_is_in_a_hurry_need_not_wait(redis: Redis) -> None:
    with anyio.fail_after(5):
        async with running(redis, Voice()) as runner:
            turn_id = await runner.start(ChatRequest("fine"))
            runner.shutdown_now()
            assert await read(runner, turn_id) == b"Sources Token Failed "


async def test_past_its_limit_a_worker_takes_no_more_turns(redis: Redis) -> None:
    voice = Voice()
    with anyio.fail_after(5):
        async with running(redis, voice) as runner:
            first, _ = [await runner.start(ChatRequest("fine")) for _ in range(2)]
            with pytest.raises(Unavailable):
                await runner.start(ChatRequest("fine"))
            voice.leave.set()
            await read(runner, first)
            await runner.start(ChatRequest("fine"))


async def test_a_turn_that_somebody_watches_is_never_abandoned(redis: Redis) -> None:
    opens, voice = anyio.Event(), Voice()
    with anyio.fail_after(5):
        async with (
            running(redis, voice, Shelf(opens), grace=0) as runner,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(runner.start, ChatRequest("fine"), "key")
            turn_id = None
            while turn_id is None:
                # The key is claimed in a moment.
                if claims := [key async for key in redis.scan_iter("idempotency:*")]:
                    assert len(claims) == 1
                    with pytest.raises(TurnRunning) as running_still:
                        await runner.start(ChatRequest("fine"), "key")
                    turn_id = running_still.value.turn_id
            turn = await runner.open(turn_id)
            seen: list[bytes] = []

            async def watch() -> None:
                seen.append(await joined(turn))

            tasks.start_soon(watch)
            assert await until(lambda: turn.viewers == 1, 5)
            # Now the first client's wait is over, and it does not follow: it has gone away.
            opens.set()
            assert await until(lambda: len(turn.frames) == 2, 5)
            voice.leave.set()
    assert seen == [b"Sources Token Token Done "]


async def test_two_who_ask_with_one_key_at_once_get_one_turn(redis: Redis) -> None:
    voice = Voice()
    voice.leave.set()
    opens = anyio.Event()
    with anyio.fail_after(5):
        async with (
            running(redis, voice, Shelf(opens)) as one,
            running(redis, voice, Shelf(opens)) as other,
            anyio.create_task_group() as tasks,
        ):
            started: list[str] = []
            refused: list[str] = []

            async def ask(runner: StreamRunner) -> None:
                try:
                    started.append(await runner.start(ChatRequest("fine"), "key"))
                except TurnRunning as refusal:
                    refused.append(refusal.turn_id)
                    opens.set()

            tasks.start_soon(ask, one)
            tasks.start_soon(ask, other)
            assert await until(lambda: len(started) == 1 == len(refused), 5)
            assert started == refused
            assert await read(other, started[0]) == b"Sources Token Token Done "
            assert await read(one, started[0]) == b"Sources Token Token Done "
            assert await other.start(ChatRequest("fine"), "key") == started[0]
            with pytest.raises(Unprocessable):
                await one.start(ChatRequest("not so fine"), "key")
