"""A question and its sources come in; their sentences, by how likely each answers, go out. Pure.

What counts are the question's words, each by its rarity, in the sentence or understood in it; what
the question asks for (`answer_type`); and how good the source is.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

from msgspec import Struct

from app.schemas import Source
from app.services.models.extractive.answer_type import answer_form, asks
from app.services.search.text import keys

# What a word is worth that only an earlier question had, and one that many questions have.
_CARRIED, _COMMON = 0.4, 0.35
_COMMON_WORDS = """
    become begin best better big call come deal different example find first get go good great
    happen help important kind last look lot main make many matter mean much name need new number
    one part people person place really right small someone something start take time two type use
    work year
    """
# What a word of the question is worth to a sentence that has it not itself, but stands behind one
# that has it, answers a question that has it, or stands under a title with it.
_BEFORE, _ANSWERS, _TITLED = 0.4, 0.7, 0.35
# How many sentences after a question may still answer it.
_ANSWER_LENGTH = 3
# Words that stand side by side in the question and in a sentence name one thing.
_PHRASE = 0.3
# What a sentence is worth that was said in an earlier answer.
_SAID = 0.5
# A sentence tells enough with so many words that the question does not have.
_ENOUGH = 3
# From how many words on a sentence counts less, and how many more halve what it counts.
_LONG, _FAR_LONGER = 40, 150
# A mark of the page's own would pass for ours, and an address alone says nothing.
_UNFIT = re.compile(r"\[\s?\^?\d|^\W*(\w+:\s*)?(https?://|www\.)\S+\W*$")


class Candidate(Struct, frozen=True, eq=False):
    """A sentence that may be quoted, with its place in its source and the keys of its words."""

    source: Source
    place: int
    text: str
    keys: tuple[str, ...]
    words: int

    @property
    def number(self) -> int:
        """The number of its source."""
        return self.source.citation.number


class _Asked(Struct, frozen=True):
    worth: dict[str, float]
    pairs: frozenset[tuple[str, str]]
    common: frozenset[str]


def ranked_sentences(
    query: str, question: str, sources: Sequence[Source], said: str
) -> list[tuple[float, Candidate]]:
    """Return the sentences that may be quoted, each with its score (0 or more), best first.

    `question` is what the person wrote, `query` what was searched for it, maybe with words of
    earlier questions; sentences that stand in `said`, the earlier answers, count less.
    """
    candidates = [candidate for source in sources for candidate in _candidates(source)]
    asked = _asked(query, question, candidates)
    fit = answer_form(question)
    ranked: list[tuple[float, Candidate]] = []
    for candidate, matter in zip(candidates, _matter(asked, candidates), strict=True):
        if not _UNFIT.search(candidate.text):
            score = matter and matter * fit(candidate.text) * _weight(candidate, asked)
            ranked.append((score * (_SAID if candidate.text in said else 1.0), candidate))
    return sorted(ranked, key=lambda pair: -pair[0])


def _candidates(source: Source) -> list[Candidate]:
    return [
        Candidate(
            source,
            place,
            sentence.text,
            tuple(keys(sentence.text, source.language)),
            len(sentence.text.split()),
        )
        for place, sentence in enumerate(source.sentences)
    ]


def _asked(query: str, question: str, candidates: Sequence[Candidate]) -> _Asked:
    """Tell what each word of the question is worth: the more, the fewer sentences have it."""
    spread = Counter(key for candidate in candidates for key in set(candidate.keys))
    worth: dict[str, float] = {}
    pairs: set[tuple[str, str]] = set()
    common: set[str] = set()
    for language in {candidate.source.language for candidate in candidates}:
        own = set(keys(question, language))
        common |= _common(language)
        asked = tuple(keys(query, language))
        pairs |= _pairs(asked)
        for key in asked:
            if spread[key]:
                rarity = math.log(1 + len(candidates) / spread[key])
                carried = 1.0 if key in own else _CARRIED
                worth[key] = rarity * carried * (_COMMON if key in common else 1.0)
    return _Asked(worth, frozenset(pairs), frozenset(common))


@cache
def _common(language: str) -> frozenset[str]:
    return frozenset(keys(_COMMON_WORDS, language))


def _pairs(words: Sequence[str]) -> set[tuple[str, str]]:
    return set(pairwise(words))


def _matter(asked: _Asked, candidates: Sequence[Candidate]) -> list[float]:
    """Add up the words of the question that each sentence has, or that are understood in it."""
    matter: list[float] = []
    nothing: set[str] = set()
    before = answered = titled = nothing
    since = 0
    for candidate in candidates:
        if candidate.place == 0:
            before = answered = nothing
            title = keys(candidate.source.citation.title, candidate.source.language)
            titled = asked.worth.keys() & set(title)
        own = asked.worth.keys() & set(candidate.keys)
        since += 1
        # Each word counts by the best of its reasons, so the best is written last.
        shares = dict.fromkeys(titled, _TITLED) | dict.fromkeys(before, _BEFORE)
        if since <= _ANSWER_LENGTH:
            shares |= dict.fromkeys(answered, _ANSWERS / math.sqrt(since))
        shares |= dict.fromkeys(own, 1.0)
        phrases = _pairs(candidate.keys) & asked.pairs if len(own) > 1 else ()
        matter.append(
            math.fsum(asked.worth[key] * share for key, share in shares.items())
            + _PHRASE * math.fsum(min(asked.worth[a], asked.worth[b]) for a, b in phrases)
        )
        before = own
        if asks(candidate.text):
            answered, since = own, 0
    return matter


def _weight(candidate: Candidate, asked: _Asked) -> float:
    """How well a sentence may answer: from a good source, with something new, not too long."""
    score = max(0.01, candidate.source.citation.score)
    weight = math.sqrt(score) * (1.0 - 0.03 * (candidate.number - 1))
    new = len(set(candidate.keys) - asked.worth.keys() - asked.common)
    weight *= min(1.0, (2 + new) / (2 + _ENOUGH))
    return weight / (1 + max(0, candidate.words - _LONG) / _FAR_LONGER)
