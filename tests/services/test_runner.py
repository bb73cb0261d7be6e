"""Turns run apart from each other: one that breaks ends with an error and no other with it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from redis.asyncio import Redis

from app.errors import ShuttingDown, TurnLost, TurnRunning, Unavailable
from app.schemas import ChatRequest, Event, Retrieval
from app.services.completion import Delta
from app.services.event_log import LocalEventLog
from app.services.memory import RedisMemory
from app.services.prompt import Prompt
from app.services.runner import Runner
from app.services.turn import Answerer
from tests.services.samples import source

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

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        yield Delta("One")
        if prompt.query == "break the answer":
            raise RuntimeError("broken on purpose")
        await self.leave.wait()
        yield Delta(" two")


def encode(turn_id: str, number: int, event: Event) -> bytes:
    return f"{type(event).__name__} ".encode()


@asynccontextmanager
async def running(
    memory: RedisMemory, voice: Voice, shelf: Shelf | None = None, grace: float = 60
) -> AsyncIterator[Runner]:
    async with anyio.create_task_group() as tasks:
        runner = Runner(
            answerer=Answerer(
                retriever=shelf or Shelf(),
                model=voice,
                memory=memory,
                condenser=None,
                condense_timeout=1,
                history_tokens=100,
                answer_timeout=60,
            ),
            event_log=LocalEventLog(),
            encode=encode,
            tasks=tasks,
            most_turns=2,
            grace=grace,
            replay=60,
        )
        tasks.start_soon(runner.end_on_shutdown)
        yield runner
        runner.shutting_down.set()


@pytest.fixture
async def memory(redis_url: str) -> AsyncIterator[RedisMemory]:
    async with Redis.from_url(redis_url) as redis:
        yield RedisMemory(redis, turns=10, ttl=60, timeout=5)


async def read(runner: Runner, turn_id: str) -> bytes:
    return b"".join([frames async for frames in runner.follow(turn_id)])


async def test_a_turn_that_breaks_ends_with_an_error_and_leaves_the_others_alone(
    memory: RedisMemory, caplog: pytest.LogCaptureFixture
) -> None:
    voice = Voice()
    with anyio.fail_after(5):
        async with running(memory, voice) as runner:
            sound = await runner.start(ChatRequest("fine"))
            broken = await runner.start(ChatRequest("break the answer"))
            assert await read(runner, broken.turn_id) == b"Sources Token Failed "
            with pytest.raises(TurnLost):
                await runner.start(ChatRequest("break the search"))
            voice.leave.set()
            assert await read(runner, sound.turn_id) == b"Sources Token Token Done "
    assert len([record for record in caplog.records if record.exc_info]) == 2


async def test_a_shutdown_ends_what_runs_and_takes_nothing_new(memory: RedisMemory) -> None:
    with anyio.fail_after(5):
        async with running(memory, Voice()) as runner:
            ask = await runner.start(ChatRequest("fine"))
            runner.shutting_down.set()
            assert await read(runner, ask.turn_id) == b"Sources Token Failed "
            with pytest.raises(ShuttingDown):
                await runner.start(ChatRequest("fine"))


async def test_past_its_limit_a_worker_takes_no_more_turns(memory: RedisMemory) -> None:
    voice = Voice()
    with anyio.fail_after(5):
        async with running(memory, voice) as runner:
            first, _ = [await runner.start(ChatRequest("fine")) for _ in range(2)]
            with pytest.raises(Unavailable):
                await runner.start(ChatRequest("fine"))
            voice.leave.set()
            await read(runner, first.turn_id)
            await runner.start(ChatRequest("fine"))


async def test_a_turn_that_somebody_watches_is_never_abandoned(memory: RedisMemory) -> None:
    opens, voice = anyio.Event(), Voice()
    with anyio.fail_after(5):
        async with (
            running(memory, voice, Shelf(opens), grace=0) as runner,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(runner.start, ChatRequest("fine"), "key")
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(TurnRunning) as running_still:
                await runner.start(ChatRequest("fine"), "key")
            turn_id = running_still.value.headers["Location"].rpartition("/")[2]
            seen: list[bytes] = []

            async def watch() -> None:
                seen.append(await read(runner, turn_id))

            tasks.start_soon(watch)
            await anyio.wait_all_tasks_blocked()
            # Now the first client's wait is over, and it does not follow: it has gone away.
            opens.set()
            await anyio.wait_all_tasks_blocked()
            voice.leave.set()
    assert seen == [b"Sources Token Token Done "]
