"""Answer with verbatim sentences of the sources.

Used when no language model is configured. It needs no key, costs nothing and cannot make anything
up.
"""

import re
from collections.abc import Callable

from app.schemas import Source
from app.services.models.completion import Delta
from app.services.models.extractive.composition import compose
from app.services.models.extractive.ranking import rank_sentences
from app.services.models.prompt import Prompt

NOTHING_FOUND = "I found nothing about that in this library."


class ExtractiveModel:
    """A `LanguageModel` that quotes the sources."""

    async def stream(self, prompt: Prompt, on_delta: Callable[[Delta], None]) -> None:
        """Stream the answer word by word; refuse if the sources have nothing to quote."""
        earlier = " ".join(m.content for m in prompt.messages if m.role == "assistant")
        answer = extract_answer(prompt.query, prompt.sources, prompt.question, earlier)
        if not answer:
            on_delta(Delta(text=NOTHING_FOUND, finish="refused"))
            return
        for word in re.findall(r"\s*\S+", answer):
            on_delta(Delta(text=word))
        on_delta(Delta(finish="stop"))


def extract_answer(
    query: str, sources: tuple[Source, ...], question: str = "", earlier_answers: str = ""
) -> str:
    """Compose an answer: a paragraph per source, best first, with a marker after each run.

    Empty if no sentence can be quoted.

    A run is made of adjacent sentences. If `query` contains words of earlier questions, `question`
    is the last one, whose words count more. Sentences in `earlier_answers` are repeated only if
    there are no better ones.
    """
    ranked = rank_sentences(query, question or query, sources, earlier_answers)
    return compose(ranked) if ranked else ""
