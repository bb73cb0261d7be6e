"""What a measurement needs of whatever searches the library: rankings as they are, and sources."""

from collections.abc import Sequence
from typing import Protocol

from app.schemas import Retrieval, Tier


class Found(Protocol):
    """A passage that was found."""

    @property
    def passage_id(self) -> int:
        """Its id in the library."""
        ...


class Ranked(Protocol):
    """All tiers of one search."""

    def hits(self, tier: Tier, /) -> Sequence[Found]:
        """Return a tier's passages, best first, whatever the gate says."""
        ...


class Searcher(Protocol):
    """Searches the library. Every method raises LibraryUnavailable."""

    async def rank(self, question: str, creator: str | None, *, most: int) -> Ranked:
        """Rank at most `most` passages for each tier."""
        ...

    async def search(self, question: str, creator: str | None) -> Retrieval:
        """Return what a client would get: the tier that answers, and its sources."""
        ...
