"""The rows of a search come in; each tier's ranking, and the tier that answers, go out. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import asyncpg
from msgspec import Struct

from app.schemas import CreatorRef, Matching, Tier, TierHits
from app.services.search.answerability import DEPTH, AnswerabilityClassifier, PassageScores, decide
from app.services.search.plan import passage_scores

TIERS: tuple[Tier, ...] = ("creator", "domain", "global")


class Hit(Struct, frozen=True):
    """A passage in a tier's ranking, with the row that it came in."""

    passage_id: int
    document_id: int
    ordinal: int
    figures: PassageScores
    row: asyncpg.Record

    @property
    def score(self) -> float:
        """What it is ranked by."""
        return self.figures.score


class Ranking(Struct, frozen=True):
    """What each tier has, best first, and the tier that answers; `verdicts` says why."""

    tier: Tier
    creator: CreatorRef | None
    matching: Matching
    verdicts: tuple[TierHits, ...]
    ranked: Mapping[Tier, tuple[Hit, ...]]

    def hits(self, tier: Tier) -> tuple[Hit, ...]:
        """Return a tier's passages, whether or not the gate lets them pass."""
        return self.ranked.get(tier, ())


def build_ranking(
    rows: Sequence[asyncpg.Record],
    *,
    gate: AnswerabilityClassifier,
    embedding: Sequence[float],
    matching: Matching,
    named: bool,
    per_document: int,
) -> Ranking:
    """Read the rows; the gate looks at no more than so many passages of each document.

    `embedding` is the question's, and `named` says whether it named a creator.
    """
    first = rows[0]
    asked = CreatorRef(first["asked_slug"], first["asked_name"]) if first["asked_slug"] else None
    found: dict[Tier, list[Hit]] = {tier: [] for tier in TIERS}
    for row in rows:
        if row["tier"] is not None:
            found[TIERS[row["tier"] - 1]].append(_hit(row))
    ranked = {tier: tuple(hits) for tier, hits in found.items()}
    # Without a creator there is only the library; an unknown one starts one tier lower.
    searched = TIERS[(0 if asked else 1 if named else 2) :]
    tier, verdicts = decide(
        {tier: _served(ranked[tier], per_document) for tier in searched}, gate, embedding
    )
    return Ranking(tier, asked, matching, verdicts, ranked)


def _served(hits: Iterable[Hit], per_document: int) -> tuple[PassageScores, ...]:
    """Return what the gate looks at: the best, so many of each document."""
    seen: Counter[int] = Counter()
    served: list[PassageScores] = []
    for hit in hits:
        seen[hit.document_id] += 1
        if seen[hit.document_id] <= per_document:
            served.append(hit.figures)
    return tuple(served[:DEPTH])


def _hit(row: asyncpg.Record) -> Hit:
    return Hit(row["id"], row["document_id"], row["ordinal"], passage_scores(row), row)
