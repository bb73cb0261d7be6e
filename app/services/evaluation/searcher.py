"""Interface of the search that an evaluation measures."""

from collections.abc import Sequence
from typing import Protocol

from app.schemas import Retrieval, Tier


class RankedPassage(Protocol):
    """A passage in a ranking."""

    @property
    def passage_id(self) -> int:
        """Its id in the library."""
        ...


class TierRankings(Protocol):
    """The rankings of all tiers for one question."""

    def hits(self, tier: Tier, /) -> Sequence[RankedPassage]:
        """Return the passages of a tier, best first, whether or not the tier answers."""
        ...


class Searcher(Protocol):
    """Searches the library. Every method raises LibraryUnavailable."""

    async def rank(self, question: str, creator: str | None, *, per_tier: int) -> TierRankings:
        """Rank the passages of each tier, at least `per_tier` if it has that many."""
        ...

    async def search(self, question: str, creator: str | None) -> Retrieval:
        """Return what a client gets: the tier that answers, and its sources."""
        ...
