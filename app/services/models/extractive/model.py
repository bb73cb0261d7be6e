"""A question and its sources come in; the sources' own sentences that answer it go out, cited.

This is the answerer for when no language model is configured: it needs no key, costs nothing and
cannot invent, since it says nothing but sentences that stand in the sources.
"""

import re
from collections.abc import Callable, Sequence

from app.schemas import Source
from app.services.models.completion import Delta
from app.services.models.extractive.relevance import Candidate, ranked_sentences
from app.services.models.prompt import Prompt

NOTHING_FOUND = "I found nothing about that in this library."

_MOST_SENTENCES = 3
_MOST_WORDS = 100
# A sentence this much weaker than the best one is not worth reading.
_WEAKEST = 0.6
# Who begins so speaks of what was named before; a sentence on the matter at all may have named it.
_POINTS_BACK = re.compile(r"\W*(it|its|they|their|he|his|she|her|this|these|that|those)\b", re.I)
_ON_THE_MATTER = 0.2
# Two sentences that share this much of their words say the same.
_SAME = 0.7


class ExtractiveModel:
    """A `LanguageModel` that quotes."""

    async def stream(self, prompt: Prompt, take: Callable[[Delta], None]) -> None:
        """Give the answer word by word; without sources, one sentence that says so."""
        if not prompt.sources:
            take(Delta(text=NOTHING_FOUND, finish="refused"))
            return
        said = " ".join(m.content for m in prompt.messages if m.role == "assistant")
        for piece in re.findall(
            r"\s*\S+", quote(prompt.query, prompt.sources, prompt.question, said)
        ):
            take(Delta(text=piece))
        take(Delta(finish="stop"))


def quote(query: str, sources: tuple[Source, ...], question: str = "", said: str = "") -> str:
    """Compose the answer: a paragraph a source, the best first, a mark after each sentence.

    Where `query` has words of earlier questions, `question` is the last one: its own words count
    more. `said` is the text of earlier answers, whose sentences are not said again if others do.
    """
    ranked = ranked_sentences(query, question or query, sources, said)
    if not ranked:
        return NOTHING_FOUND
    paragraphs: dict[int, list[Candidate]] = {}
    for candidate in _choose(ranked):
        paragraphs.setdefault(candidate.number, []).append(candidate)
    return "\n\n".join(
        " ".join(f"{c.text} [{c.number}]" for c in _in_order(paragraph))
        for paragraph in paragraphs.values()
    )


def _choose(ranked: Sequence[tuple[float, Candidate]]) -> list[Candidate]:
    best, first = ranked[0]
    if best == 0:
        # Nothing shares a word with the question: the beginning says what it is about.
        return [candidate for _, candidate in ranked if candidate.number == first.number][:2]
    chosen: list[Candidate] = []
    words = 0
    for score, candidate in _antecedent_second(ranked):
        if score < best * _WEAKEST or len(chosen) == _MOST_SENTENCES:
            break
        if chosen and words + candidate.words > _MOST_WORDS:
            continue
        if not any(_same(candidate, other) for other in chosen):
            chosen.append(candidate)
            words += candidate.words
    return chosen


def _antecedent_second(
    ranked: Sequence[tuple[float, Candidate]],
) -> Sequence[tuple[float, Candidate]]:
    """Let the sentence before the best one come next where the best one points back to it."""
    best, first = ranked[0]
    if not _POINTS_BACK.match(first.text):
        return ranked
    for i, (score, other) in enumerate(ranked):
        if other.source is first.source and other.place == first.place - 1:
            if score > best * _ON_THE_MATTER:
                return [ranked[0], (best, other), *ranked[1:i], *ranked[i + 1 :]]
            break
    return ranked


def _in_order(paragraph: Sequence[Candidate]) -> list[Candidate]:
    """Put what answers best first, but neighbours in the order in which they were said."""
    ordered: list[Candidate] = []
    left = {candidate.place: candidate for candidate in paragraph}
    for candidate in paragraph:
        place = candidate.place
        while place - 1 in left:
            place -= 1
        while place in left:
            ordered.append(left.pop(place))
            place += 1
    return ordered


def _same(one: Candidate, other: Candidate) -> bool:
    a, b = set(one.keys), set(other.keys)
    together = len(a & b)
    return together > _SAME * min(len(a), len(b)) if together else False
