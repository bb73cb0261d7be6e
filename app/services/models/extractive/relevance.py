"""Measure how much of the question each sentence of the sources has, in itself and nearby."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import chain

from msgspec import Struct

from app.services.models.extractive import constants
from app.services.models.extractive.sentences import Candidate
from app.services.search.text import stems

_COMMON_WORDS = """
    become begin best better big call come deal different example find first get go good great
    happen help important kind last look lot main make many matter mean much name need new number
    one part people person place really right small someone something start take time two type use
    work year
    """
# Words of questions in other languages; those of English are stop words.
_QUESTION_WORDS = """
    wann warum was welche welchem welchen welcher welches wem wen wer weshalb wie wieso wo wodurch
    woher wohin wofür womit hat haben ist sind war waren wird wurde wurden viel viele
    combien comment où pourquoi quand que quel quelle quelles quels qui quoi est sont
    cómo cuál cuáles cuándo cuánta cuántas cuánto cuántos dónde qué quién quiénes por es son
    como onde qual quais quando quanto quantos quem porque foi
    где зачем как какая какие каким каких какого какое какой какому когда который которая которые
    кто куда откуда почему сколько чего чей чем что был была были было
    什么 哪些 哪个 哪里 多少 怎么 如何 为什么 何时 何 谁 几 哪 なぜ どう どこ どの いつ 誰 何
    """


class QueryTerms(Struct, frozen=True):
    """The terms of the query with their weights, and which terms are common in any question."""

    idf: dict[str, float]
    common: frozenset[str]


def query_terms(query: str, question: str, candidates: Sequence[Candidate]) -> QueryTerms:
    """Weigh the terms of the query by their idf among the candidates of a language."""
    idf: dict[str, float] = {}
    common: set[str] = set()
    for language in {candidate.source.language for candidate in candidates}:
        own = set(stems(question, language))
        common_here = _common_stems(language)
        spoken = [set(c.stems) for c in candidates if c.source.language == language]
        frequency = Counter(chain.from_iterable(spoken))
        for stem in stems(query, language):
            if frequency[stem]:
                rarity = math.log(1 + len(spoken) / frequency[stem])
                weight = 1.0 if stem in own else constants.EARLIER_QUESTION
                weight *= constants.COMMON_TERM if stem in common_here else 1.0
                idf[stem] = max(rarity * weight, idf.get(stem, 0.0))
        common |= common_here
    return QueryTerms(idf, frozenset(common))


@cache
def _common_stems(language: str) -> frozenset[str]:
    return frozenset(stems(_COMMON_WORDS + _QUESTION_WORDS, language))


def own_relevance(terms: QueryTerms, candidates: Sequence[Candidate]) -> list[float]:
    """Sum the weights of the terms that each sentence has or its context implies."""
    scores: list[float] = []
    in_previous: set[str] = set()
    in_title: set[str] = set()
    source = None
    for candidate in candidates:
        if candidate.source is not source:
            source = candidate.source
            in_previous = set()
            in_title = terms.idf.keys() & set(stems(source.citation.title, source.language))
        own = terms.idf.keys() & set(candidate.stems)
        # A term counts with the highest of its weights, so the highest is written last.
        weights = dict.fromkeys(in_title, constants.IN_TITLE)
        weights |= dict.fromkeys(in_previous, constants.IN_PREVIOUS)
        weights |= dict.fromkeys(own, 1.0)
        relevance = math.fsum(terms.idf[stem] * weight for stem, weight in weights.items())
        scores.append(relevance and relevance * _informativeness(candidate, terms))
        in_previous = own
    return scores


def nearby_relevance(terms: QueryTerms, candidates: Sequence[Candidate]) -> list[float]:
    """Return the share of the query's idf that each sentence has or that is near it."""
    shares: list[dict[str, float]] = [{} for _ in candidates]
    for position, candidate in enumerate(candidates):
        for stem in terms.idf.keys() & set(candidate.stems):
            for distance, share in constants.NEARBY.items():
                other = position - distance
                if (
                    0 <= other < len(candidates)
                    and candidates[other].source is candidate.source
                    and share > shares[other].get(stem, 0)
                ):
                    shares[other][stem] = share
    total = math.fsum(terms.idf.values()) or 1.0
    return [
        math.fsum(terms.idf[stem] * share for stem, share in found.items()) / total
        for found in shares
    ]


def _informativeness(candidate: Candidate, terms: QueryTerms) -> float:
    """Weigh a sentence by how many terms it has that are not in the question."""
    new = len(set(candidate.stems) - terms.idf.keys() - terms.common)
    return min(1.0, (2 + new) / (2 + constants.INFORMATIVE))
