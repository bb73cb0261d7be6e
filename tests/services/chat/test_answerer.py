"""The answerer: its events, its endings, and what it remembers."""

from collections.abc import AsyncIterator, Callable

import anyio
import pytest
from msgspec.structs import replace

from app.errors import ModelFailed, ShuttingDown
from app.infra.redis import RedisClient, redis_client
from app.limits import ANSWER_LIMIT
from app.schemas import Done, Event, Retrieval, Source, Sources, Token
from app.services.chat.answerer import DECLINED, Answerer, Cancellation
from app.services.chat.condenser import Condenser
from app.services.chat.memory import RedisMemory
from app.services.chat.planner import TurnInput
from app.services.models.completion import Delta
from app.services.models.extractive.model import NOTHING_FOUND
from app.services.models.finish_reasons import Finish
from app.services.models.prompt import Prompt, PromptTooLong
from tests.services.samples import past, source

pytestmark = pytest.mark.anyio

SOURCE = source(1, "Set the attack to 2 ms.")


class FakeRetriever:
    """Finds the same sources for every question, or only for the one that it `answers`.

    `queries` records the questions, `allowed` the allowed creators of each call.
    """

    def __init__(
        self,
        *sources: Source,
        closest: tuple[Source, ...] = (),
        languages: tuple[str, ...] = ("en",),
        answers: str | None = None,
    ) -> None:
        self.queries: list[str] = []
        self.allowed: list[tuple[str, ...] | None] = []
        self._answers = answers
        self._languages = languages
        self._found = Retrieval(
            tier="global" if sources else "none",
            sources=sources,
            creator=None,
            tiers=(),
            matching="lexical",
            question="",
            closest=closest,
            closest_tier="global" if closest else "none",
            library_languages=languages,
        )

    async def search(
        self, question: str, creator: str | None, allowed_creators: tuple[str, ...] | None
    ) -> Retrieval:
        self.queries.append(question)
        self.allowed.append(allowed_creators)
        if self._answers not in (None, question):
            return replace(self._found, question=question, tier="none", sources=())
        return replace(self._found, question=question)

    async def languages(self, allowed_creators: tuple[str, ...] | None) -> tuple[str, ...]:
        self.allowed.append(allowed_creators)
        return self._languages


class Rewriter:
    """A model that returns one text for every prompt."""

    def __init__(self, text: str = "") -> None:
        self._text = text

    async def complete(self, prompt: Prompt, deadline: float, /) -> str | None:
        return self._text


class FakeModel:
    """Writes the given pieces, then waits forever if it `hangs`, or ends with a `finish`."""

    def __init__(self, *pieces: str, hangs: bool = False, finish: Finish | None = None) -> None:
        self.prompts: list[Prompt] = []
        self.written = anyio.Event()
        self._pieces = pieces
        self._hangs = hangs
        self._finish = finish

    async def stream(self, prompt: Prompt, on_delta: Callable[[Delta], None]) -> None:
        self.prompts.append(prompt)
        for piece in self._pieces:
            on_delta(Delta(piece))
        self.written.set()
        if self._hangs:
            await anyio.sleep_forever()
        if self._finish:
            on_delta(Delta(finish=self._finish))


class SmallModel(FakeModel):
    """A model whose context has room for so many sources."""

    def __init__(self, *pieces: str, room: int) -> None:
        super().__init__(*pieces)
        self._room = room

    async def stream(self, prompt: Prompt, on_delta: Callable[[Delta], None]) -> None:
        if len(prompt.sources) > self._room:
            self.prompts.append(prompt)
            raise PromptTooLong(prompt)
        await super().stream(prompt, on_delta)


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
    rewriter: Rewriter | None = None,
    condenses: bool = True,
) -> Answerer:
    return Answerer(
        retriever=retriever or FakeRetriever(SOURCE),
        model=model,
        memory=memory,
        has_model=rewriter is not None,
        condenser=Condenser(rewriter, timeout=1) if rewriter and condenses else None,
        history_tokens=1_000,
        source_tokens=5_000,
        answer_timeout=answer_timeout,
    )


def turn(question: str = "How fast?", *, new: bool = False) -> TurnInput:
    return TurnInput("t_1", "c", new, question, None)


def prompt_text(prompt: Prompt) -> str:
    return "".join(message.content for message in prompt.messages)


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


async def asked(
    service: Answerer, question: str = "How fast?", *, new: bool = False
) -> tuple[str, Done, list[Event]]:
    """Ask a question, and return the answer, the last event and all events."""
    events: list[Event] = []
    await service.answer(turn(question, new=new), events.append, Cancellation())
    last = events[-1]
    assert isinstance(last, Done)
    return text(events), last, events


@pytest.mark.parametrize("rewriter", [None, Rewriter()])
async def test_question_without_sources_is_refused_without_the_model(
    redis: RedisClient, rewriter: Rewriter | None
) -> None:
    memory, model = remembering(redis), FakeModel("From my own knowledge.")
    await memory.remember("c", past("How do I side-chain the bass?"))
    service = answerer(memory, model, FakeRetriever(), rewriter=rewriter)
    answer, done, _ = await asked(service, "How tall is the tower?")
    assert answer == NOTHING_FOUND
    assert (done.finish_reason, done.cascade_tier, model.prompts) == ("refused", "none", [])
    assert [past.answer for past in await memory.recall("c")][1:] == [NOTHING_FOUND]


async def test_refusal_is_in_the_language_of_the_question_or_else_of_the_conversation(
    redis: RedisClient,
) -> None:
    memory = remembering(redis)
    service = answerer(memory, FakeModel(), FakeRetriever(languages=("de",)))
    for question in ("Wie hoch ist der Turm?", "Turm?"):
        answer, *_ = await asked(service, question)
        assert answer == "Dazu habe ich in dieser Sammlung nichts gefunden."


async def test_closest_moments_are_listed_with_markers_and_no_answer(redis: RedisClient) -> None:
    memory = remembering(redis)
    retriever = FakeRetriever(closest=(SOURCE,))
    answer, done, events = await asked(answerer(memory, FakeModel("2 ms."), retriever))
    assert events[0] == Sources((SOURCE.citation,))
    assert answer.endswith("The closest moments are:\n\n- Low end, 0:00 [1]")
    assert (done.finish_reason, done.cascade_tier) == ("refused", "none")
    (span,) = done.citations
    assert answer[span.start : span.end] == "[1]"
    (remembered,) = await memory.recall("c")
    assert remembered.citations == (SOURCE.citation,)


@pytest.mark.parametrize(
    ("written", "finish_reason", "tier"),
    [("Set it to 2 ms [1].", "stop", "global"), ("They do not say.", "refused", "none")],
)
async def test_model_answers_from_the_closest_moments_or_refuses(
    redis: RedisClient, written: str, finish_reason: str, tier: str
) -> None:
    memory, model = remembering(redis), FakeModel(written)
    retriever = FakeRetriever(closest=(SOURCE,))
    answer, done, _ = await asked(answerer(memory, model, retriever, rewriter=Rewriter()))
    assert (answer, done.finish_reason, done.cascade_tier) == (written, finish_reason, tier)
    assert model.prompts[0].sources == (SOURCE,)
    (remembered,) = await memory.recall("c")
    assert (remembered.finish_reason, remembered.tier) == (finish_reason, tier)


async def test_small_talk_is_answered_without_search_or_model_and_not_remembered(
    redis: RedisClient,
) -> None:
    memory, model, retriever = remembering(redis), FakeModel("Hi!"), FakeRetriever(SOURCE)
    service = answerer(memory, model, retriever, rewriter=Rewriter("hi"))
    answer, done, events = await asked(service, "Hi there!", new=True)
    assert answer.startswith("Hello! Ask me")
    assert events[0] == Sources(())
    assert (done.finish_reason, done.cascade_tier, done.memory) == ("refused", "none", "kept")
    assert (model.prompts, retriever.queries, await memory.recall("c")) == ([], [], ())


async def test_follow_up_after_thanks_keeps_its_subject(redis: RedisClient) -> None:
    retriever = FakeRetriever(SOURCE)
    service = answerer(remembering(redis), FakeModel("2 ms [1]."), retriever)
    for question in ("How do I side-chain the bass?", "Thanks!", "And the release?"):
        await asked(service, question)
    assert retriever.queries[1:] == ["And the release? (side-chain bass)"]


async def test_thanks_are_answered_in_the_language_of_the_conversation(redis: RedisClient) -> None:
    memory = remembering(redis)
    await memory.remember("c", past("Wie schnell soll der Attack sein?"))
    answer, *_ = await asked(answerer(memory, FakeModel()), "ok super")
    assert answer.startswith("Gut! ")


async def test_model_reworks_the_last_answer_without_a_search(redis: RedisClient) -> None:
    memory, model, retriever = remembering(redis), FakeModel("2 ms."), FakeRetriever(SOURCE)
    await memory.remember("c", past("How fast for the bass?", "Set the attack to 2 ms [1]."))
    service = answerer(memory, model, retriever, rewriter=Rewriter())
    answer, done, events = await asked(service, "Make it shorter, please.")
    assert (answer, done.finish_reason, done.cascade_tier) == ("2 ms.", "stop", "none")
    assert (events[0], retriever.queries) == (Sources(()), [])
    assert "Set the attack to 2 ms." in [m.content for m in model.prompts[0].messages]
    await asked(service, "And the release?")
    assert retriever.queries == ["And the release? (fast bass)"]


@pytest.mark.parametrize(
    ("rewriter", "reply"), [(None, "I can only quote"), (Rewriter(), "Ask me about anything")]
)
async def test_nothing_is_reworked_without_a_model_or_an_answer(
    redis: RedisClient, rewriter: Rewriter | None, reply: str
) -> None:
    memory, model = remembering(redis), FakeModel("2 ms.")
    if rewriter is None:
        await memory.remember("c", past("How fast for the bass?"))
    answer, done, _ = await asked(answerer(memory, model, rewriter=rewriter), "Make it shorter")
    assert answer.startswith(reply)
    assert (done.finish_reason, model.prompts) == ("refused", [])


async def test_question_in_another_language_is_searched_with_its_translation(
    redis: RedisClient,
) -> None:
    retriever = FakeRetriever(SOURCE)
    rewriter = Rewriter("How fast should the attack be?")
    service = answerer(remembering(redis), FakeModel("2 ms [1]."), retriever, rewriter=rewriter)
    question = "Wie schnell soll der Attack sein?"
    _, done, _ = await asked(service, question, new=True)
    await asked(service, "How fast should it be?", new=True)
    assert retriever.queries[0] == f"{question} (How fast should the attack be?)"
    assert retriever.queries[1] == "How fast should it be?"
    assert done.scope.query == retriever.queries[0]


async def test_model_without_a_condenser_still_reworks_and_reads_the_closest_moments(
    redis: RedisClient,
) -> None:
    memory, model = remembering(redis), FakeModel("2 ms [1].")
    await memory.remember("c", past("How fast for the bass?", "Set the attack to 2 ms [1]."))
    retriever = FakeRetriever(closest=(SOURCE,))
    rewriter = Rewriter("something else")
    service = answerer(memory, model, retriever, rewriter=rewriter, condenses=False)
    await asked(service, "Wie schnell soll er sein?")
    await asked(service, "Shorter, please.")
    assert "something else" not in " ".join(retriever.queries)
    assert len(model.prompts) == 2


async def test_follow_up_is_searched_with_the_words_of_the_last_question(
    redis: RedisClient,
) -> None:
    memory, retriever = remembering(redis), FakeRetriever(SOURCE)
    await memory.remember("c", past("How do I side-chain the bass?"))
    service = answerer(memory, FakeModel("5 ms."), retriever)
    await service.answer(turn("And the release?"), lambda event: None, Cancellation())
    assert retriever.queries == ["And the release? (side-chain bass)"]


@pytest.mark.parametrize("answered", ["And for the reverb?", None])
async def test_follow_up_that_is_refused_is_searched_alone(
    redis: RedisClient, answered: str | None
) -> None:
    memory = remembering(redis)
    await memory.remember("c", past("How do I side-chain the bass?"))
    found = FakeRetriever(SOURCE, answers=answered or "nothing")
    events: list[Event] = []
    asked = turn("And for the reverb?")
    await answerer(memory, FakeModel("Yes [1]."), found).answer(
        asked, events.append, Cancellation()
    )
    expanded = "And for the reverb? (side-chain bass)"
    assert found.queries == [expanded, "And for the reverb?"]
    done = events[-1]
    assert isinstance(done, Done)
    assert done.scope.query == (answered or expanded)
    assert done.cascade_tier == ("global" if answered else "none")


async def test_every_search_is_restricted_to_the_creators_that_the_caller_may_read(
    redis: RedisClient,
) -> None:
    memory, found = remembering(redis), FakeRetriever(languages=("de",))
    await memory.remember("c", past("Wie side-chaint man den Bass?"))
    service = answerer(memory, FakeModel(), found, rewriter=Rewriter("Und der Hall?"))
    # Translated and searched twice, refused in the library's language, and small talk.
    for question in ("And how do I set the reverb of it?", "Reverb?", "ok"):
        asked = replace(turn(question), allowed_creators=("mara",))
        await service.answer(asked, lambda event: None, Cancellation())
    assert len(found.queries) > 2
    assert len(found.allowed) > len(found.queries)
    assert set(found.allowed) == {("mara",)}


async def test_a_restricted_caller_is_not_answered_from_what_others_said_before(
    redis: RedisClient,
) -> None:
    memory, model = remembering(redis), FakeModel("Fine.")
    service = answerer(memory, model, rewriter=Rewriter())
    await memory.remember("c", past("How fast?", "2 ms"), allowed_creators=("mara", "zoe"))
    await memory.remember("c", past("How slow?", "3 ms"))
    for allowed, told in (
        (None, ["2 ms", "3 ms"]),
        (("zoe", "june", "mara"), ["2 ms"]),
        (("mara",), []),
    ):
        again = replace(turn("Shorter, please"), allowed_creators=allowed)
        model.prompts.clear()
        await service.answer(again, lambda event: None, Cancellation())
        prompts = "".join(prompt_text(it) for it in model.prompts)
        assert [it for it in ("2 ms", "3 ms") if it in prompts] == told, allowed


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


async def test_endless_answer_is_cut_and_remembered_as_far_as_it_went(redis: RedisClient) -> None:
    memory, model = remembering(redis), FakeModel("a" * 60_000, "é" * 60_000, hangs=True)
    answer, done, _ = await asked(answerer(memory, model))
    assert done.finish_reason == "length"
    assert ANSWER_LIMIT - 1 <= len(answer.encode()) <= ANSWER_LIMIT
    assert not model.written.is_set()
    assert [past.answer for past in await memory.recall("c")] == [answer]


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


async def test_prompt_that_is_too_long_is_sent_again_with_the_better_half_of_the_sources(
    redis: RedisClient,
) -> None:
    sources = tuple(source(number, f"Text {number}.") for number in (1, 2, 3))
    model = SmallModel("One [1], two [2], three [3].", room=2)
    events: list[Event] = []
    service = answerer(remembering(redis), model, FakeRetriever(*sources))
    await service.answer(turn(), events.append, Cancellation())
    assert [prompt.sources for prompt in model.prompts] == [sources, sources[:2]]
    assert events[0] == Sources(tuple(s.citation for s in sources))
    assert text(events) == "One [1], two [2], three."


@pytest.mark.parametrize(("sources", "asked"), [(1, 1), (3, 2)])
async def test_prompt_that_stays_too_long_fails_the_turn(
    redis: RedisClient, sources: int, asked: int
) -> None:
    model = SmallModel("One.", room=0)
    retriever = FakeRetriever(*(source(number + 1, "Text.") for number in range(sources)))
    with pytest.raises(ModelFailed, match="too long") as failed:
        await answerer(remembering(redis), model, retriever).answer(
            turn(), lambda event: None, Cancellation()
        )
    assert (failed.value.retryable, len(model.prompts)) == (False, asked)


async def test_refusal_of_the_models_provider_is_told_but_kept_out_of_later_prompts(
    redis: RedisClient,
) -> None:
    memory = remembering(redis)
    events: list[Event] = []
    await answerer(memory, FakeModel(finish="refused")).answer(
        turn(), events.append, Cancellation()
    )
    done = events[-1]
    assert isinstance(done, Done)
    assert (text(events), done.finish_reason, done.citations) == (DECLINED, "refused", ())
    assert await memory.recall("c") == ()


async def test_answer_without_memory_says_so_in_done(anyio_backend: object) -> None:
    events: list[Event] = []
    async with redis_client("redis://127.0.0.1:1", timeout=0.1) as unreachable:
        memory = RedisMemory(unreachable, turns=10, ttl=60, timeout=1)
        service = answerer(memory, FakeModel("2 ms."))
        await service.answer(turn(), events.append, Cancellation())
    assert isinstance(events[-1], Done)
    assert (text(events), events[-1].memory) == ("2 ms.", "unavailable")
