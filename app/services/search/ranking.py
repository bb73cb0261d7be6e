"""Turn the rows of a search into a ranking for each tier, and choose the tier that answers."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import asyncpg
from msgspec import Struct

from app.schemas import CreatorRef, Matching, Tier, TierHits
from app.services.search.answerability import (
    DEPTH,
    AnswerabilityClassifier,
    PassageScores,
    QuestionTraits,
    choose_tier,
)
from app.services.search.text import stems
from app.services.search.unknown_terms import find_unknown_terms

TIERS: tuple[Tier, ...] = ("creator", "domain", "global")


class Hit(Struct, frozen=True):
    """A passage in the ranking of a tier; `row` holds the rest of its columns."""

    passage_id: int
    document_id: int
    ordinal: int
    scores: PassageScores
    row: asyncpg.Record

    @property
    def score(self) -> float:
        """The score that it is ranked by."""
        return self.scores.score


class Ranking(Struct, frozen=True):
    """Each tier's passages, best first, the tier that answers, and the verdicts on all tiers.

    `question` is the question as searched, and `unknown_terms` its names and numbers that the
    library never has. With tier `none`, `closest` is the tier that has passages worth showing.
    """

    question: str
    tier: Tier
    creator: CreatorRef | None
    matching: Matching
    verdicts: tuple[TierHits, ...]
    ranked: Mapping[Tier, tuple[Hit, ...]]
    closest: Tier
    unknown_terms: tuple[str, ...]

    def hits(self, tier: Tier) -> tuple[Hit, ...]:
        """Return the passages of a tier, whether or not the tier answers."""
        return self.ranked.get(tier, ())


def build_ranking(
    question: str,
    rows: Sequence[asyncpg.Record],
    *,
    classifier: AnswerabilityClassifier,
    matching: Matching,
    creator_requested: bool,
    per_document: int,
) -> Ranking:
    """Build the ranking from the rows of `execute_search` for a question.

    The classifier gets `per_document` passages of each document.
    """
    first = rows[0]
    slug, name = first["requested_slug"], first["requested_name"]
    creator = CreatorRef(slug, name) if slug else None
    hits: dict[Tier, list[Hit]] = {tier: [] for tier in TIERS}
    for row in rows:
        if row["tier"] is not None:
            hit = Hit(row["id"], row["document_id"], row["ordinal"], passage_scores(row), row)
            hits[TIERS[row["tier"] - 1]].append(hit)
    ranked = {tier: tuple(of_tier) for tier, of_tier in hits.items()}
    # An unknown creator starts one tier lower; without a creator only the library is searched.
    searched = TIERS[(0 if creator else 1 if creator_requested else 2) :]
    traits = _traits(question, rows)
    decision = choose_tier(
        {tier: _classified(ranked[tier], per_document) for tier in searched}, classifier, traits
    )
    return Ranking(
        question=question,
        tier=decision.tier,
        creator=creator,
        matching=matching,
        verdicts=decision.verdicts,
        ranked=ranked,
        closest=decision.closest,
        unknown_terms=traits.unknown_terms,
    )


def _traits(question: str, rows: Sequence[asyncpg.Record]) -> QuestionTraits:
    whole_library = [row for row in rows if row["tier"] == len(TIERS)]
    if not whole_library:
        return QuestionTraits()
    best = whole_library[0]
    language = best["language"]
    unknown = find_unknown_terms(question, best["unknown"], language)
    return QuestionTraits(len(set(stems(question, language))), unknown)


def _classified(hits: Iterable[Hit], per_document: int) -> tuple[PassageScores, ...]:
    """Return the scores of the best passages, at most `per_document` of each document."""
    seen: Counter[int] = Counter()
    scores: list[PassageScores] = []
    for hit in hits:
        seen[hit.document_id] += 1
        if seen[hit.document_id] <= per_document:
            scores.append(hit.scores)
    return tuple(scores[:DEPTH])


def passage_scores(row: asyncpg.Record) -> PassageScores:
    """Return the scores in a result row: its columns have the names of the fields."""
    return PassageScores(*(row[name] for name in PassageScores.__struct_fields__))
