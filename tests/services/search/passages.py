"""Retrieved passages for tests."""

from app.schemas import CreatorRef, Sentence
from app.services.search.selection import RetrievedPassage


def passage(
    document: int, ordinal: int, first: int, *texts: str, score: float = 0.5, creator: str = "mara"
) -> RetrievedPassage:
    """Return a passage of a video whose sentences take a second each; `first` is their position."""
    return RetrievedPassage(
        document_id=document,
        ordinal=ordinal,
        first_sentence=first,
        sentences=tuple(
            Sentence(text, float(first + i), float(first + i + 1)) for i, text in enumerate(texts)
        ),
        language="english",
        kind="moment",
        title="Low end",
        url="https://www.youtube.com/watch?v=abc",
        topic=None,
        creator=CreatorRef(creator, creator.capitalize()),
        score=score,
    )
