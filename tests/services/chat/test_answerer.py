"""The answerer: its events, its endings, and what it remembers."""

from collections.abc import AsyncIterator, Callable

import anyio
import pytest

from app.errors import ModelFailed, ShuttingDown
from app.infra.redis import RedisClient, redis_client
from app.schemas import Done, Event, Retrieval, Source, Sources, Token
from app.services.chat.answerer import Answerer, Cancellation, TurnInput
from app.services.chat.memory import RedisMemory
from app.services.models.completion import Delta
from app.services.models.extractive.model import NOTHING_FOUND
from app.services.models.prompt import Prompt
from tests.services.samples import past, source

pytestmark = pytest.mark.anyio

SOURCE = source(1, "Set the attack to 2 ms.")


class FakeRetriever:
    """Finds the same sources for every question; `queries` records the questions."""

    def __init__(self, *sources: Source) -> None:
        self.queries: list[str] = []
        self._sources = sources

    async def search(self, question: str, creator: str | None) -> Retrieval:
        self.queries.append(question)
        return Retrieval(
            "global" if self._sources else "none", self._sources, None, (), "lexical", question
        )


class FakeModel:
    """Writes the given pieces, then waits forever if it `hangs`."""

    def __init__(self, *pieces: str, hangs: bool = False) -> None:
        self.prompts: list[Prompt] = []
        self.written = anyio.Event()
        self._pieces = pieces
        self._hangs = hangs

    async def stream(self, prompt: Prompt, on_delta: Callable[[Delta], None]) -> None:
        self.prompts.append(prompt)
        for piece in self._pieces:
            on_delta(Delta(piece))
        self.written.set()
        if self._hangs:
            await anyio.sleep_forever()


@pytest.fixture
async def redis(anyio_backend: object, redis_url: str) -> AsyncIterator[RedisClient]:
    async with redis_client(redis_url, timeout=5) as redis:
        with anyio.fail_after(10):
            yield redis


def remembering(redis: RedisClient) -> RedisMemory:
    return RedisMemory(redis, turns=10, ttl=60, timeout=5)


def answerer(
    memory: RedisMemory,
    model: FakeModel,
    retriever: FakeRetriever | None = None,
    answer_timeout: float = 5,
) -> Answerer:
    return Answerer(
        retriever=retriever or FakeRetriever(SOURCE),
        model=model,
        memory=memory,
        rewriter=None,
        rewrite_timeout=1,
        history_tokens=1_000,
        answer_timeout=answer_timeout,
    )


def turn(question: str = "How fast?", *, new: bool = False) -> TurnInput:
    return TurnInput("t_1", "c", new, question, None)


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Token))


async def test_answer_is_sources_then_tokens_then_done(redis: RedisClient) -> None:
    memory = remembering(redis)
    events: list[Event] = []
    model = FakeModel("Set it to ", "2 ms [1", "][7].")
    await answerer(memory, model).answer(turn(), events.append, Cancellation())
    first, *tokens, last = events
    assert first == Sources((SOURCE.citation,))
    assert all(isinstance(token, Token) for token in tokens)
    assert text(events) == "Set it to 2 ms [1]."
    assert isinstance(last, Done)
    assert (last.finish_reason, last.memory) == ("stop", "kept")
    assert [(span.number, span.start, span.end) for span in last.citations] == [(1, 15, 18)]
    (remembered,) = await memory.recall("c")
    assert (remembered.answer, remembered.citations) == (text(events), (SOURCE.citation,))


async def test_first_question_without_sources_is_refused_without_the_model(
    redis: RedisClient,
) -> None:
    events: list[Event] = []
    model = FakeModel("From my own knowledge.")
    service = answerer(remembering(redis), model, FakeRetriever())
    await service.answer(turn(new=True), events.append, Cancellation())
    assert text(events) == NOTHING_FOUND
    assert isinstance(events[-1], Done)
    assert (events[-1].finish_reason, model.prompts) == ("refused", [])


async def test_follow_up_is_searched_with_the_words_of_the_last_question(
    redis: RedisClient,
) -> None:
    memory, retriever = remembering(redis), FakeRetriever(SOURCE)
    await memory.remember("c", past("How do I side-chain the bass?"))
    service = answerer(memory, FakeModel("5 ms."), retriever)
    await service.answer(turn("And the release?"), lambda event: None, Cancellation())
    assert retriever.queries == ["And the release? (side-chain bass)"]


async def test_stopped_answer_is_remembered_as_far_as_it_went(redis: RedisClient) -> None:
    memory, cancellation = remembering(redis), Cancellation()
    events: list[Event] = []
    model = FakeModel("Set it", hangs=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answerer(memory, model).answer, turn(), events.append, cancellation)
        await model.written.wait()
        cancellation("stopped")
        cancellation("abandoned")
    assert isinstance(events[-1], Done)
    assert events[-1].finish_reason == "stopped"
    (remembered,) = await memory.recall("c")
    assert (remembered.answer, remembered.finish_reason) == ("Set it", "stopped")


@pytest.mark.parametrize(("pieces", "remembered"), [((), []), (("Set it",), ["Set it"])])
async def test_shutdown_fails_the_turn_and_remembers_any_text(
    redis: RedisClient, pieces: tuple[str, ...], remembered: list[str]
) -> None:
    memory, cancellation = remembering(redis), Cancellation()
    model = FakeModel(*pieces, hangs=True)
    failures: list[ShuttingDown] = []

    async def answer() -> None:
        try:
            await answerer(memory, model).answer(turn(), lambda event: None, cancellation)
        except ShuttingDown as error:
            failures.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answer)
        await model.written.wait()
        cancellation("shutdown")
    assert len(failures) == 1
    assert [turn.answer for turn in await memory.recall("c")] == remembered


@pytest.mark.parametrize(
    "model", [FakeModel(), FakeModel("Set it", hangs=True)], ids=["empty", "hangs"]
)
async def test_model_that_writes_nothing_or_does_not_finish_fails_the_turn(
    redis: RedisClient, model: FakeModel
) -> None:
    memory = remembering(redis)
    with pytest.raises(ModelFailed):
        await answerer(memory, model, answer_timeout=0.05).answer(
            turn(), lambda event: None, Cancellation()
        )
    assert await memory.recall("c") == ()


async def test_answer_without_memory_says_so_in_done(anyio_backend: object) -> None:
    events: list[Event] = []
    async with redis_client("redis://127.0.0.1:1", timeout=0.1) as unreachable:
        memory = RedisMemory(unreachable, turns=10, ttl=60, timeout=1)
        service = answerer(memory, FakeModel("2 ms."))
        await service.answer(turn(), events.append, Cancellation())
    assert isinstance(events[-1], Done)
    assert (text(events), events[-1].memory) == ("2 ms.", "unavailable")
