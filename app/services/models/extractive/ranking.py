"""Rank the sentences of the sources by how likely each answers the question.

A sentence's score is the product of its own relevance, that of its surroundings, the score of its
source, and factors for its form (`answer_type`) and its speaker.
"""

import re
from collections.abc import Sequence

from app.schemas import Source
from app.services.models.extractive import constants
from app.services.models.extractive.answer_type import answer_type_scorer
from app.services.models.extractive.relevance import (
    nearby_relevance,
    own_relevance,
    query_terms,
)
from app.services.models.extractive.sentences import (
    Candidate,
    candidates_of,
    is_incomplete,
    is_quotable,
)
from app.services.search.text import fold

_WORD = re.compile(r"\w+")


def rank_sentences(
    query: str, question: str, sources: Sequence[Source], earlier_answers: str
) -> list[tuple[float, Candidate]]:
    """Return the quotable sentences with their scores (above 0), best first.

    `question` is what the user wrote; `query` may have words of earlier questions too. Sentences in
    `earlier_answers` score less.
    """
    asked = frozenset(_WORD.findall(fold(question)))
    ranking = [
        (score * _context_factor(candidate, asked, earlier_answers), candidate)
        for score, candidate in _score_by_terms(query, question, sources)
        if is_quotable(candidate.text)
    ]
    ranking.sort(key=_score, reverse=True)
    scorers = {
        language: answer_type_scorer(question, language)
        for language in {source.language for source in sources}
    }
    examined = [
        (score * scorers[candidate.source.language](candidate.text), candidate)
        for score, candidate in ranking[: constants.MAX_EXAMINED]
    ]
    return sorted([*examined, *ranking[constants.MAX_EXAMINED :]], key=_score, reverse=True)


def _score(scored: tuple[float, Candidate]) -> float:
    return scored[0]


def _score_by_terms(
    query: str, question: str, sources: Sequence[Source]
) -> list[tuple[float, Candidate]]:
    """Score each sentence by the terms in it and near it, and by its source."""
    candidates = [candidate for source in sources for candidate in candidates_of(source)]
    terms = query_terms(query, question, candidates)
    own = own_relevance(terms, candidates)
    best_own = max(own, default=0) or 1.0
    best_source = max((source.citation.score for source in sources), default=0) or 1.0
    return [
        (
            (relevance / best_own + constants.MIN_OWN)
            * (nearby + constants.MIN_NEARBY)
            * (max(0.01, candidate.source.citation.score) / best_source)
            ** constants.SOURCE_EXPONENT,
            candidate,
        )
        for relevance, nearby, candidate in zip(
            own, nearby_relevance(terms, candidates), candidates, strict=True
        )
    ]


def _context_factor(candidate: Candidate, asked: frozenset[str], earlier_answers: str) -> float:
    """Return the factor for who says a sentence, if it is complete, and if it was quoted before."""
    factor = 1.0
    if _is_named(candidate.speaker, asked):
        factor *= constants.NAMED_SPEAKER
    if is_incomplete(candidate.text):
        factor *= constants.INCOMPLETE
    if candidate.text in earlier_answers:
        factor *= constants.QUOTED_BEFORE
    return factor


def _is_named(speaker: str | None, words: frozenset[str]) -> bool:
    """Return whether the question names a speaker, by more than a first name if there is more."""
    name = set(_WORD.findall(fold(speaker))) if speaker else set()
    return bool(name) and len(name & words) >= min(2, len(name))
