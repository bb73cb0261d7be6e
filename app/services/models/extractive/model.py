"""Answer with verbatim sentences of the sources.

Used when no language model is configured. It needs no key, costs nothing and cannot make anything
up.
"""

import re
from collections.abc import Callable, Sequence

from app.schemas import Source
from app.services.models.completion import Delta
from app.services.models.extractive.relevance import Candidate, rank_sentences
from app.services.models.prompt import Prompt

NOTHING_FOUND = "I found nothing about that in this library."

_MAX_SENTENCES = 3
_MAX_WORDS = 100
# The lowest score of a sentence, relative to the best one.
_MIN_RELATIVE_SCORE = 0.6
# A sentence that starts with a pronoun needs the sentence before it, if that is at all relevant.
_STARTS_WITH_PRONOUN = re.compile(
    r"\W*(it|its|they|their|he|his|she|her|this|these|that|those)\b", re.IGNORECASE
)
_MIN_ANTECEDENT_SCORE = 0.2
# The share of common stems above which two sentences are duplicates.
_DUPLICATE = 0.7


class ExtractiveModel:
    """A `LanguageModel` that quotes the sources."""

    async def stream(self, prompt: Prompt, on_delta: Callable[[Delta], None]) -> None:
        """Stream the answer word by word; without sources, a sentence that says so."""
        if not prompt.sources:
            on_delta(Delta(text=NOTHING_FOUND, finish="refused"))
            return
        earlier = " ".join(m.content for m in prompt.messages if m.role == "assistant")
        answer = extract_answer(prompt.query, prompt.sources, prompt.question, earlier)
        for word in re.findall(r"\s*\S+", answer):
            on_delta(Delta(text=word))
        on_delta(Delta(finish="stop"))


def extract_answer(
    query: str, sources: tuple[Source, ...], question: str = "", earlier_answers: str = ""
) -> str:
    """Compose an answer: a paragraph per source, best first, with a marker after each sentence.

    If `query` contains words of earlier questions, `question` is the last one, whose words count
    more. Sentences in `earlier_answers` are repeated only if there are no better ones.
    """
    ranked = rank_sentences(query, question or query, sources, earlier_answers)
    if not ranked:
        return NOTHING_FOUND
    paragraphs: dict[int, list[Candidate]] = {}
    for candidate in _select(ranked):
        paragraphs.setdefault(candidate.number, []).append(candidate)
    return "\n\n".join(
        " ".join(f"{c.text} [{c.number}]" for c in _in_order(paragraph))
        for paragraph in paragraphs.values()
    )


def _select(ranked: Sequence[tuple[float, Candidate]]) -> list[Candidate]:
    best, first = ranked[0]
    if best == 0:
        # No sentence shares a word with the question: quote the beginning of the best source.
        return [candidate for _, candidate in ranked if candidate.number == first.number][:2]
    selected: list[Candidate] = []
    words = 0
    for score, candidate in _with_antecedent(ranked):
        if score < best * _MIN_RELATIVE_SCORE or len(selected) == _MAX_SENTENCES:
            break
        if selected and words + candidate.words > _MAX_WORDS:
            continue
        if not any(_is_duplicate(candidate, other) for other in selected):
            selected.append(candidate)
            words += candidate.words
    return selected


def _with_antecedent(
    ranked: Sequence[tuple[float, Candidate]],
) -> Sequence[tuple[float, Candidate]]:
    """If the best sentence starts with a pronoun, move the sentence before it to second place."""
    best, first = ranked[0]
    if not _STARTS_WITH_PRONOUN.match(first.text):
        return ranked
    for i, (score, other) in enumerate(ranked):
        if other.source is first.source and other.index == first.index - 1:
            if score > best * _MIN_ANTECEDENT_SCORE:
                return [ranked[0], (best, other), *ranked[1:i], *ranked[i + 1 :]]
            break
    return ranked


def _in_order(paragraph: Sequence[Candidate]) -> list[Candidate]:
    """Keep the best sentence first, but put adjacent sentences in their original order."""
    ordered: list[Candidate] = []
    remaining = {candidate.index: candidate for candidate in paragraph}
    for candidate in paragraph:
        index = candidate.index
        while index - 1 in remaining:
            index -= 1
        while index in remaining:
            ordered.append(remaining.pop(index))
            index += 1
    return ordered


def _is_duplicate(one: Candidate, other: Candidate) -> bool:
    a, b = set(one.stems), set(other.stems)
    common = len(a & b)
    return common > _DUPLICATE * min(len(a), len(b)) if common else False
