"""Rank the sentences of the sources by how likely each answers the question.

A sentence's score depends on the idf of the question's terms in it or its context, on the type of
answer that the question expects (`answer_type`), and on the score of its source.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

from msgspec import Struct

from app.schemas import Source
from app.services.models.extractive.answer_type import answer_type_scorer, is_question
from app.services.search.text import stems

# Weight of terms that only an earlier question has, and of terms common in questions.
_EARLIER_QUESTION, _COMMON = 0.4, 0.35
_COMMON_WORDS = """
    become begin best better big call come deal different example find first get go good great
    happen help important kind last look lot main make many matter mean much name need new number
    one part people person place really right small someone something start take time two type use
    work year
    """
# Weight of a term that the sentence lacks, but that is in the sentence before it, in a question
# that it answers, or in the title of its source.
_IN_PREVIOUS, _IN_QUESTION, _IN_TITLE = 0.4, 0.7, 0.35
# How many sentences after a question may answer it.
_MAX_ANSWER_DISTANCE = 3
# Bonus for two terms that are adjacent in both the question and the sentence.
_PHRASE = 0.3
# Factor for a sentence that an earlier answer has quoted.
_QUOTED_BEFORE = 0.5
# A sentence is informative with this many terms that are not in the question.
_INFORMATIVE = 3
# Sentences above _LONG words score less; _LONG_SCALE more words halve the score.
_LONG, _LONG_SCALE = 40, 150
# Brackets that look like our citation markers, and sentences that are only a URL.
_UNQUOTABLE = re.compile(r"\[\s?\^?\d|^\W*(\w+:\s*)?(https?://|www\.)\S+\W*$")


class Candidate(Struct, frozen=True, eq=False):
    """A sentence that may be quoted; `index` is its position in its source."""

    source: Source
    index: int
    text: str
    stems: tuple[str, ...]

    @property
    def words(self) -> int:
        """The number of its words."""
        return len(self.text.split())

    @property
    def number(self) -> int:
        """The number of its source."""
        return self.source.citation.number


class _QueryTerms(Struct, frozen=True):
    idf: dict[str, float]
    bigrams: frozenset[tuple[str, str]]
    common: frozenset[str]


def rank_sentences(
    query: str, question: str, sources: Sequence[Source], earlier_answers: str
) -> list[tuple[float, Candidate]]:
    """Return the quotable sentences with their scores (0 or more), best first.

    `question` is what the user wrote; `query` may have words of earlier questions too. Sentences in
    `earlier_answers` score less.
    """
    candidates = [candidate for source in sources for candidate in _candidates(source)]
    terms = _query_terms(query, question, candidates)
    answer_type = answer_type_scorer(question)
    ranked: list[tuple[float, Candidate]] = []
    for candidate, relevance in zip(candidates, _relevance(terms, candidates), strict=True):
        if not _UNQUOTABLE.search(candidate.text):
            score = relevance and relevance * answer_type(candidate.text) * _prior(candidate, terms)
            quoted = candidate.text in earlier_answers
            ranked.append((score * (_QUOTED_BEFORE if quoted else 1.0), candidate))
    return sorted(ranked, key=lambda pair: -pair[0])


def _candidates(source: Source) -> list[Candidate]:
    return [
        Candidate(source, index, sentence.text, tuple(stems(sentence.text, source.language)))
        for index, sentence in enumerate(source.sentences)
    ]


def _query_terms(query: str, question: str, candidates: Sequence[Candidate]) -> _QueryTerms:
    """Weigh the terms of the query by their idf among the candidates."""
    frequency = Counter(stem for candidate in candidates for stem in set(candidate.stems))
    idf: dict[str, float] = {}
    bigrams: set[tuple[str, str]] = set()
    common: set[str] = set()
    for language in {candidate.source.language for candidate in candidates}:
        own = set(stems(question, language))
        common |= _common_stems(language)
        query_stems = tuple(stems(query, language))
        bigrams |= set(pairwise(query_stems))
        for stem in query_stems:
            if frequency[stem]:
                rarity = math.log(1 + len(candidates) / frequency[stem])
                weight = 1.0 if stem in own else _EARLIER_QUESTION
                idf[stem] = rarity * weight * (_COMMON if stem in common else 1.0)
    return _QueryTerms(idf, frozenset(bigrams), frozenset(common))


@cache
def _common_stems(language: str) -> frozenset[str]:
    return frozenset(stems(_COMMON_WORDS, language))


def _relevance(terms: _QueryTerms, candidates: Sequence[Candidate]) -> list[float]:
    """Sum the weights of the terms that each sentence has or its context implies."""
    scores: list[float] = []
    empty: set[str] = set()
    in_previous = in_question = in_title = empty
    distance = 0
    for candidate in candidates:
        if candidate.index == 0:
            in_previous = in_question = empty
            title = stems(candidate.source.citation.title, candidate.source.language)
            in_title = terms.idf.keys() & set(title)
        own = terms.idf.keys() & set(candidate.stems)
        distance += 1
        # A term counts with the highest of its weights, so the highest is written last.
        weights = dict.fromkeys(in_title, _IN_TITLE) | dict.fromkeys(in_previous, _IN_PREVIOUS)
        if distance <= _MAX_ANSWER_DISTANCE:
            weights |= dict.fromkeys(in_question, _IN_QUESTION / math.sqrt(distance))
        weights |= dict.fromkeys(own, 1.0)
        phrases = set(pairwise(candidate.stems)) & terms.bigrams if len(own) > 1 else ()
        scores.append(
            math.fsum(terms.idf[stem] * weight for stem, weight in weights.items())
            + _PHRASE * math.fsum(min(terms.idf[a], terms.idf[b]) for a, b in phrases)
        )
        in_previous = own
        if is_question(candidate.text):
            in_question, distance = own, 0
    return scores


def _prior(candidate: Candidate, terms: _QueryTerms) -> float:
    """Weigh a sentence by its source's score, its new information and its length."""
    score = max(0.01, candidate.source.citation.score)
    weight = math.sqrt(score) * (1.0 - 0.03 * (candidate.number - 1))
    new = len(set(candidate.stems) - terms.idf.keys() - terms.common)
    weight *= min(1.0, (2 + new) / (2 + _INFORMATIVE))
    return weight / (1 + max(0, candidate.words - _LONG) / _LONG_SCALE)
