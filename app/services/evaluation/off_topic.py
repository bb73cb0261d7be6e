"""Off-topic questions, which a library cannot answer and should refuse."""

from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from app.services.evaluation.datasets import Dataset, questions_of
from app.services.evaluation.errors import EvaluationError
from app.services.evaluation.jsonl import read_lines

# Large enough to distinguish 95 % from 97 %.
MAX_QUESTIONS = 300


class OffTopicQuery(Struct, frozen=True):
    """A question that should be refused; `origin` is the dataset or file that it comes from."""

    origin: str
    text: str


class _TextLine(Struct, frozen=True):
    text: str


def read_off_topic(path: Path) -> list[OffTopicQuery]:
    """Read a question per line: plain, or JSON with a `text`. Raises EvaluationError."""
    decoder = msgspec.json.Decoder(_TextLine)
    found: list[OffTopicQuery] = []
    for number, line in read_lines(path):
        try:
            text = decoder.decode(line).text if line.startswith("{") else line
        except msgspec.MsgspecError as error:
            raise EvaluationError(f"{path}, line {number}: {error}") from None
        found.append(OffTopicQuery(path.name, text))
    return found


def off_topic_for(
    dataset: Dataset, language: str, others: Sequence[tuple[Dataset, str]]
) -> list[OffTopicQuery]:
    """Return the questions of the other datasets in this language; `others` has their languages."""
    return [
        OffTopicQuery(other.name, text)
        for other, other_language in others
        if other is not dataset and other_language == language
        for text in questions_of(other)
    ]


def sample_off_topic(queries: Sequence[OffTopicQuery], own: Collection[str]) -> list[OffTopicQuery]:
    """Return at most `MAX_QUESTIONS`, evenly spaced, without the dataset's own questions."""
    left = [one for one in queries if one.text not in own]
    if len(left) <= MAX_QUESTIONS:
        return left
    return [left[i * len(left) // MAX_QUESTIONS] for i in range(MAX_QUESTIONS)]
