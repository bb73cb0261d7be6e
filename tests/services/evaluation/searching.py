"""A searcher for tests of what is made of its findings: it finds what it was told to."""

from collections.abc import Sequence

from msgspec import Struct

from app.schemas import Retrieval, Source, Tier
from app.services.evaluation.passages import IndexedPassage, PassageIndex


class Hit(Struct, frozen=True):
    """A passage that was found."""

    passage_id: int


class Ranking(Struct, frozen=True):
    """The same passages in each tier, but for the creator's, which are told apart."""

    of_all: tuple[int, ...]
    of_creator: tuple[int, ...]

    def hits(self, tier: Tier, /) -> Sequence[Hit]:
        return [Hit(one) for one in (self.of_creator if tier == "creator" else self.of_all)]


class ToldSearcher:
    """Finds by the question's text; `asked` lists the searches, with their creators."""

    def __init__(
        self,
        sources: dict[str, tuple[Source, ...]],
        rankings: dict[str, tuple[int, ...]],
        of_creator: dict[str, tuple[int, ...]] | None = None,
    ) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self._sources = sources
        self._rankings = rankings
        self._of_creator = of_creator or {}

    async def rank(self, question: str, creator: str | None, *, most: int) -> Ranking:
        return Ranking(
            self._rankings.get(question, ())[:most],
            self._of_creator.get(question, ())[:most] if creator else (),
        )

    async def search(self, question: str, creator: str | None) -> Retrieval:
        self.asked.append((question, creator))
        sources = self._sources.get(question, ())
        return Retrieval("global" if sources else "none", sources, None, (), "lexical")


def shelf_of(*sources: tuple[int, str, Source]) -> PassageIndex:
    """A shelf with a passage of this id, in this document, for each source."""
    shelf = PassageIndex()
    for number, document, one in sources:
        shelf.put(
            document,
            IndexedPassage(
                id=number,
                creator=one.citation.creator.slug,
                title=one.citation.title,
                start=one.sentences[0].start,
                end=one.sentences[-1].end,
                sentences=tuple(sentence.text for sentence in one.sentences),
            ),
        )
    return shelf
