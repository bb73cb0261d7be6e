"""Compose an answer: choose sentences, add those needed to understand them, and cite them."""

import re
from collections.abc import Iterator, Sequence

from app.services.models.extractive import constants
from app.services.models.extractive.sentences import Candidate, says_nothing

# A sentence with such a beginning continues what was said before.
_CONTINUES = re.compile(
    r"\W*(?i:(?:(?:and|but|so|because|which|or|then|also|plus|like|well)\b,?\W*)?"
    r"(?:it|its|they|their|them|he|his|him|she|her|this|these|that|those|which|because|neither|both"
    r"|such|same|yeah|yes|no|exactly|right)\b"
    r"|(?:and|but|because|so|or|which)\b"
    r"|(?:und|aber|oder|denn|er|sie|es|dies|diese[rsmn]?|deshalb|daher|dabei|damit)\b"
    r"|(?:и|а|но|или|он|она|оно|они|его|её|их|это|этот|эта|эти|поэтому|потому)\b"
    r"|它|他|她|这|那|但|而|所以|因此|因为|并且|其)"
    r"|\W*[a-zà-öø-ÿа-яё]"
)
_ENDS = re.compile(r"[.!?…。！？][\"'”’»)\]]*$")

_Ranking = Sequence[tuple[float, Candidate]]


def compose(ranking: _Ranking) -> str:
    """Return an answer: a paragraph per source, best first, with a marker after each run.

    A run is made of sentences that are adjacent in their source. `ranking` has all quotable
    sentences with their scores, best first, and at least one.
    """
    paragraphs: dict[int, list[Candidate]] = {}
    for candidate in _Composition(ranking).sentences():
        paragraphs.setdefault(candidate.number, []).append(candidate)
    return "\n\n".join(" ".join(_cited_runs(paragraph)) for paragraph in paragraphs.values())


class _Composition:
    def __init__(self, ranking: _Ranking) -> None:
        self._ranking = ranking
        self._best = ranking[0][0]
        self._scores = {(c.number, c.index): score for score, c in ranking}
        self._candidates = {(c.number, c.index): c for _, c in ranking}
        self._taken: dict[tuple[int, int], Candidate] = {}

    def sentences(self) -> list[Candidate]:
        """Return the sentences of the answer, the most important first."""
        self._choose()
        self._complete()
        self._drop_fragments()
        return list(self._taken.values())

    def _choose(self) -> None:
        words = 0
        for score, candidate in self._ranking:
            if len(self._taken) == constants.MAX_SENTENCES:
                break
            if self._taken and not (
                self._adds_enough(candidate, score)
                and words + candidate.words <= constants.MAX_WORDS
            ):
                continue
            self._taken[candidate.number, candidate.index] = candidate
            words += candidate.words

    def _adds_enough(self, candidate: Candidate, score: float) -> bool:
        """Return whether a sentence is good enough, long enough and new, given those chosen."""
        distances = [abs(i - candidate.index) for n, i in self._taken if n == candidate.number]
        min_terms = constants.MIN_TERMS
        if not distances:
            if len({number for number, _ in self._taken}) == constants.MAX_SOURCES:
                return False
            min_score = constants.MIN_SCORE_OTHER_SOURCE
        elif min(distances) > constants.NEAR:
            min_score = constants.MIN_SCORE_APART
        else:
            min_score, min_terms = constants.MIN_SCORE_NEAR, constants.MIN_TERMS_NEAR
        return (
            score >= self._best * min_score
            and not _is_filler(candidate, min_terms)
            and self._is_new(candidate)
        )

    def _is_new(self, candidate: Candidate) -> bool:
        return not any(_is_duplicate(candidate, other) for other in self._taken.values())

    def _complete(self) -> None:
        """Add what chosen sentences need, what is between them, and how the best one goes on."""
        left = constants.MAX_ADDED_WORDS
        best = True
        for candidate in list(self._taken.values()):
            for step, max_words in self._needs(candidate, is_best=best):
                position = candidate.number, candidate.index + step
                other = self._candidates.get(position)
                if (
                    other is not None
                    and position not in self._taken
                    and other.words <= min(max_words, left)
                    and not _is_filler(other, constants.MIN_TERMS_NEAR)
                    and self._is_new(other)
                ):
                    self._taken[position] = other
                    left -= other.words
            best = False

    def _needs(self, candidate: Candidate, *, is_best: bool) -> Iterator[tuple[int, int]]:
        """Yield the distance of each sentence to add, and how many words it may have."""

        def taken(step: int) -> bool:
            return (candidate.number, candidate.index + step) in self._taken

        beside, between = constants.MAX_WORDS_BESIDE, constants.MAX_WORDS_BETWEEN
        if _CONTINUES.match(candidate.text):
            yield -1, beside
        if taken(-3):
            yield -2, between
        if taken(-2):
            yield -1, between
        if taken(2):
            yield 1, between
        if (is_best or not _ENDS.search(candidate.text)) and self._goes_on(candidate):
            yield 1, beside

    def _goes_on(self, candidate: Candidate) -> bool:
        """Return whether the same speaker says the next sentence."""
        following = self._candidates.get((candidate.number, candidate.index + 1))
        return following is not None and following.speaker == candidate.speaker

    def _drop_fragments(self) -> None:
        """Drop low scores that continue a sentence which is not part of the answer."""
        first = self._ranking[0][1]
        for (number, index), candidate in sorted(self._taken.items(), key=lambda item: item[0]):
            if (
                candidate is not first
                and (number, index - 1) not in self._taken
                and self._scores[number, index] < self._best * constants.MIN_SCORE_FRAGMENT
                and _CONTINUES.match(candidate.text)
            ):
                del self._taken[number, index]


def _is_filler(candidate: Candidate, min_terms: int) -> bool:
    return len(candidate.stems) < min_terms or says_nothing(candidate.text)


def _is_duplicate(one: Candidate, other: Candidate) -> bool:
    a, b = set(one.stems), set(other.stems)
    common = len(a & b)
    return common > constants.DUPLICATE * min(len(a), len(b)) if common else False


def _cited_runs(paragraph: Sequence[Candidate]) -> Iterator[str]:
    """Yield the sentences of a source with a marker after each run, the best run first."""
    remaining = {candidate.index: candidate for candidate in paragraph}
    for candidate in paragraph:
        index = candidate.index
        if index not in remaining:
            continue
        while index - 1 in remaining:
            index -= 1
        while index in remaining:
            yield remaining.pop(index).text
            index += 1
        yield f"[{candidate.number}]"
