"""Questions are asked as the chat asks them."""

from collections.abc import Callable

import pytest

from app.errors import ModelFailed
from app.services.chat.answerer import Answerer, LanguageModel, Memory
from app.services.chat.planner import Retriever
from app.services.evaluation.asking import Asker
from app.services.evaluation.errors import EvaluationError
from app.services.models.completion import Delta
from app.services.models.extractive.model import ExtractiveModel
from app.services.models.prompt import Prompt
from tests.services.evaluation.scripted_searcher import ScriptedSearcher
from tests.services.samples import source

pytestmark = pytest.mark.anyio

ATTACK = source(1, "Set the attack of the compressor to 2 ms.", "Then listen.")
OTHER = source(2, "The reverb is long.")


class ScriptedModel:
    """Gives the same deltas for every prompt, or fails."""

    def __init__(self, *deltas: Delta) -> None:
        self._deltas = deltas

    async def stream(self, _prompt: Prompt, on_delta: Callable[[Delta], None], /) -> None:
        if not self._deltas:
            raise ModelFailed("The language model took too long.")
        for delta in self._deltas:
            on_delta(delta)


def asker(searcher: ScriptedSearcher, model: LanguageModel | None = None) -> Asker:
    def build(retriever: Retriever, memory: Memory) -> Answerer:
        return Answerer(
            retriever=retriever,
            model=model or ExtractiveModel(),
            memory=memory,
            has_model=False,
            condenser=None,
            history_tokens=1_000,
            source_tokens=5_000,
            answer_timeout=5,
        )

    return Asker(searcher, build)


def searcher() -> ScriptedSearcher:
    return ScriptedSearcher({"How fast is the attack of a compressor?": (ATTACK, OTHER)}, {})


async def test_reply_has_the_sources_the_answer_and_its_citations() -> None:
    reply = await asker(searcher()).ask("How fast is the attack of a compressor?")
    assert (reply.tier, reply.finish_reason, reply.refused) == ("global", "stop", False)
    assert reply.sources == (ATTACK, OTHER)
    assert "2 ms. [1]" in reply.answer
    assert reply.cited == {1}
    assert reply.matching == "lexical"
    assert 0 < reply.search_ms <= reply.total_ms + 0.1


async def test_question_without_sources_is_refused() -> None:
    reply = await asker(searcher()).ask("Who plays the flute on this record?")
    assert (reply.tier, reply.refused, reply.sources) == ("none", True, ())


async def test_refusal_of_the_model_counts() -> None:
    model = ScriptedModel(Delta("I cannot say.", finish="refused"))
    reply = await asker(searcher(), model).ask("How fast is the attack of a compressor?")
    assert (reply.tier, reply.refused) == ("global", True)


async def test_history_is_asked_first_and_each_question_has_a_conversation_of_its_own() -> None:
    searches = searcher()
    one = asker(searches)
    history = ["How fast is the attack of a compressor?"]
    follow_up = await one.ask("and the release?", "mara", history)
    assert searches.searches[0] == (history[0], "mara")
    assert "compressor" in follow_up.query
    assert (await one.ask("and the release?")).query == "and the release?"


async def test_failure_of_the_model_names_the_question() -> None:
    with pytest.raises(EvaluationError, match=r"How fast.*took too long"):
        await asker(searcher(), ScriptedModel()).ask("How fast is the attack of a compressor?")
