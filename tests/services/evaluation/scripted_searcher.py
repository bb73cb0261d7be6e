"""A searcher with scripted results."""

from collections.abc import Sequence

from msgspec import Struct

from app.schemas import Retrieval, Source, Tier
from app.services.evaluation.passages import IndexedPassage, PassageIndex


class ScriptedHit(Struct, frozen=True):
    """A passage in a ranking."""

    passage_id: int


class ScriptedRanking(Struct, frozen=True):
    """The same passages in every tier except the creator's."""

    of_all: tuple[int, ...]
    of_creator: tuple[int, ...]

    def hits(self, tier: Tier, /) -> Sequence[ScriptedHit]:
        return [ScriptedHit(one) for one in (self.of_creator if tier == "creator" else self.of_all)]


class ScriptedSearcher:
    """Looks results up by the question's text; `searches` records questions and creators."""

    def __init__(
        self,
        sources: dict[str, tuple[Source, ...]],
        rankings: dict[str, tuple[int, ...]],
        of_creator: dict[str, tuple[int, ...]] | None = None,
    ) -> None:
        self.searches: list[tuple[str, str | None]] = []
        self._sources = sources
        self._rankings = rankings
        self._of_creator = of_creator or {}

    async def rank(self, question: str, creator: str | None, *, per_tier: int) -> ScriptedRanking:
        return ScriptedRanking(
            self._rankings.get(question, ())[:per_tier],
            self._of_creator.get(question, ())[:per_tier] if creator else (),
        )

    async def search(
        self,
        question: str,
        creator: str | None,
        allowed_creators: tuple[str, ...] | None = None,
    ) -> Retrieval:
        self.searches.append((question, creator))
        sources = self._sources.get(question, ())
        return Retrieval("global" if sources else "none", sources, None, (), "lexical", question)

    async def languages(self, allowed_creators: tuple[str, ...] | None = None) -> tuple[str, ...]:
        return ("en",)


def passage_index(*sources: tuple[int, str, Source], language: str = "en") -> PassageIndex:
    """Return an index with a passage per source, given its id and document."""
    index = PassageIndex()
    for number, document, one in sources:
        index.add(
            document,
            IndexedPassage(
                id=number,
                creator=one.citation.creator.slug,
                title=one.citation.title,
                language=language,
                start=one.sentences[0].start,
                end=one.sentences[-1].end,
                sentences=tuple(sentence.text for sentence in one.sentences),
            ),
        )
    return index
