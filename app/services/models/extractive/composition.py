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
# A sentence with fewer terms is not added to another.
_MIN_TERMS = 2

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
        if not self._best:
            # No sentence shares a word with the question: quote the beginning of the best source.
            first = self._ranking[0][1].number
            return [candidate for _, candidate in self._ranking if candidate.number == first][:2]
        self._choose()
        self._complete()
        self._drop_lead_ins()
        return list(self._taken.values())

    def _choose(self) -> None:
        words = 0
        for score, candidate in self._ranking:
            if len(self._taken) == constants.MAX_SENTENCES or score <= 0:
                break
            if self._taken and (
                score < self._best * self._min_score(candidate)
                or words + candidate.words > constants.MAX_WORDS
                or _is_filler(candidate)
                or any(_is_duplicate(candidate, other) for other in self._taken.values())
            ):
                continue
            self._taken[candidate.number, candidate.index] = candidate
            words += candidate.words

    def _min_score(self, candidate: Candidate) -> float:
        distances = [abs(i - candidate.index) for n, i in self._taken if n == candidate.number]
        if not distances:
            return constants.MIN_SCORE_OTHER_SOURCE
        near = min(distances) <= constants.NEAR
        return constants.MIN_SCORE_NEAR if near else constants.MIN_SCORE_APART

    def _complete(self) -> None:
        """Add what chosen sentences need, what is between them, and what follows the best."""
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
                    and not _is_filler(other)
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
        if is_best or not _ENDS.search(candidate.text):
            yield 1, beside

    def _drop_lead_ins(self) -> None:
        """Drop the first sentence of a run if it scores low and the next one does not need it."""
        for position in sorted(self._taken):
            number, index = position
            following = self._taken.get((number, index + 1))
            if (
                following is not None
                and (number, index - 1) not in self._taken
                and self._scores[position] < self._best * constants.MIN_SCORE_LEAD
                and not _CONTINUES.match(following.text)
            ):
                del self._taken[position]


def _is_filler(candidate: Candidate) -> bool:
    return len(candidate.stems) < _MIN_TERMS or says_nothing(candidate.text)


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
