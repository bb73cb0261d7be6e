"""Sample sources and turns."""

from app.schemas import Citation, CreatorRef, PastTurn, Sentence, Source


def source(number: int, *sentences: str, title: str = "Low end", start: float = 0.0) -> Source:
    """Return a source whose sentences last five seconds each."""
    spoken = tuple(
        Sentence(text, start + 5 * i, start + 5 * (i + 1)) for i, text in enumerate(sentences)
    )
    citation = Citation(
        number=number,
        kind="moment",
        title=title,
        creator=CreatorRef("mara", "Mara"),
        topic="Mixing",
        url=None,
        start_seconds=start,
        end_seconds=start + 5 * len(spoken),
        snippet=sentences[0],
        score=0.5,
    )
    return Source(citation, spoken, "english")


def past(question: str, answer: str = "Yes [1].", query: str | None = None) -> PastTurn:
    """Return a turn as stored in memory."""
    return PastTurn("t_1", question, query or question, answer, (), "global", "2026-01-01T00:00:00")
