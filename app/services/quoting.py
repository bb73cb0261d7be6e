"""A question and its sources come in; the sources' own sentences that answer it go out, cited.

This is the answerer for when no language model is configured: it needs no key, costs nothing and
cannot invent, since it says nothing but sentences that stand in the sources.
"""

import math
import re
from collections import Counter
from collections.abc import AsyncGenerator

from msgspec import Struct

from app.schemas import Source
from app.services.completion import Delta
from app.services.prompt import Prompt
from app.services.text import keys

NOTHING_FOUND = "I found nothing about that in this library."

_MOST_SENTENCES = 4
_MOST_WORDS = 120
# A sentence this much weaker than the best one is not worth reading.
_WEAKEST = 0.55
# What a word is worth that only an earlier question had, and a sentence that was said already.
_CARRIED, _SAID = 0.4, 0.2
# A mark of the page's own would pass for ours, and an address alone says nothing.
_UNFIT = re.compile(r"\[\s?\^?\d|^\W*(\w+:\s*)?(https?://|www\.)\S+\W*$")
# Questions that figures answer.
_ASKS_FIGURES = re.compile(
    r"\bhow (much|many|far|fast|long|loud|high|low|big|small|wide|thick|often|deep|old|quiet)\b"
    r"|\b(what|which) (\w+ )?(ratio|rate|frequency|level|loudness|size|time|amount|year)s?\b",
    re.IGNORECASE,
)
# Two sentences that share this much of their words say the same.
_SAME = 0.7


class _Candidate(Struct, frozen=True, eq=False):
    number: int
    place: int
    text: str
    score: float
    keys: frozenset[str]
    words: int


class QuotingModel:
    """A `LanguageModel` that quotes."""

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """Yield the answer word by word; without sources, one sentence that says so."""
        if not prompt.sources:
            yield Delta(text=NOTHING_FOUND, finish="refused")
            return
        said = " ".join(m.content for m in prompt.messages if m.role == "assistant")
        for piece in re.findall(
            r"\s*\S+", quote(prompt.query, prompt.sources, prompt.question, said)
        ):
            yield Delta(text=piece)
        yield Delta(finish="stop")


def quote(query: str, sources: tuple[Source, ...], question: str = "", said: str = "") -> str:
    """Compose the answer: a paragraph a source, the best first, a mark after each sentence.

    Where `query` has words of earlier questions, `question` is the last one: its own words count
    more. `said` is the text of earlier answers, whose sentences are not said again if others do.
    """
    candidates = [candidate for source in sources for candidate in _candidates(source, said)]
    own = {key for source in sources for key in keys(question or query, source.language)}
    asked = {
        key: 1.0 if key in own else _CARRIED
        for source in sources
        for key in keys(query, source.language)
    }
    figures = _ASKS_FIGURES.search(question or query) is not None
    if not candidates:
        return NOTHING_FOUND
    chosen = _choose(_ranked(asked, candidates, figures=figures))
    paragraphs: dict[int, list[_Candidate]] = {}
    for candidate in chosen:
        paragraphs.setdefault(candidate.number, []).append(candidate)
    return "\n\n".join(
        " ".join(f"{c.text} [{c.number}]" for c in sorted(paragraph, key=lambda c: c.place))
        for paragraph in paragraphs.values()
    )


def _candidates(source: Source, said: str) -> list[_Candidate]:
    return [
        _Candidate(
            source.citation.number,
            place,
            sentence.text,
            source.citation.score * (_SAID if sentence.text in said else 1.0),
            frozenset(keys(sentence.text, source.language)),
            len(sentence.text.split()),
        )
        for place, sentence in enumerate(source.sentences)
        if not _UNFIT.search(sentence.text)
    ]


def _ranked(
    asked: dict[str, float], candidates: list[_Candidate], *, figures: bool
) -> list[tuple[float, _Candidate]]:
    spread = Counter(key for candidate in candidates for key in candidate.keys & asked.keys())
    worth = {key: asked[key] * math.log(1 + len(candidates) / n) for key, n in spread.items()}
    own = [sum(worth.get(key, 0.0) for key in c.keys) for c in candidates]
    scores: list[float] = []
    for i, candidate in enumerate(candidates):
        # The subject is often named a sentence before or after what is said of it.
        around = [
            own[j]
            for j in (i - 1, i + 1)
            if 0 <= j < len(own) and candidates[j].number == candidate.number
        ]
        score = own[i] + 0.2 * max(around, default=0.0)
        scores.append(score * _fitness(candidate, figures=figures))
    return sorted(zip(scores, candidates, strict=True), key=lambda pair: -pair[0])


def _fitness(candidate: _Candidate, *, figures: bool) -> float:
    """How well a sentence may answer: from a good source, no question, no scrap, not too long."""
    fit = math.sqrt(candidate.score) * (1.0 - 0.03 * (candidate.number - 1))
    if figures and re.search(r"\d", candidate.text):
        fit *= 1.5
    if candidate.text.rstrip().endswith(("?", "？")):
        fit *= 0.3
    if len(candidate.keys) < 4:
        fit *= 0.6
    return fit / (1 + max(0, candidate.words - 40) / 60)


def _choose(ranked: list[tuple[float, _Candidate]]) -> list[_Candidate]:
    best, first = ranked[0]
    if best == 0:
        # Only a title or a heading matched: the beginning says what it is about.
        return [candidate for _, candidate in ranked if candidate.number == first.number][:2]
    chosen: list[_Candidate] = []
    words = 0
    for score, candidate in ranked:
        if score < best * _WEAKEST or len(chosen) == _MOST_SENTENCES:
            break
        if chosen and words + candidate.words > _MOST_WORDS:
            continue
        if not any(_same(candidate, other) for other in chosen):
            chosen.append(candidate)
            words += candidate.words
    return chosen


def _same(one: _Candidate, other: _Candidate) -> bool:
    together = len(one.keys & other.keys)
    return together > _SAME * min(len(one.keys), len(other.keys)) if together else False
