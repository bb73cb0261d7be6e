"""Questions that a library does not answer and the service should refuse."""

from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from app.services.evaluation.datasets import Dataset, questions_of
from app.services.evaluation.errors import EvaluationError
from app.services.evaluation.jsonl import read_lines

# Large enough to distinguish 95 % from 97 %.
MAX_QUESTIONS = 300


class Negative(Struct, frozen=True, kw_only=True):
    """A question that should be refused; without a kind, `kind` is where it comes from."""

    query: str
    kind: str
    id: str | None = None
    creator: str | None = None


class _Line(Struct, frozen=True):
    query: str
    kind: str | None = None
    id: str | None = None
    creator: str | None = None


def read_negatives(paths: Sequence[Path]) -> list[Negative]:
    """Read files with a question per line: plain, or JSON with a `query`.

    Raises EvaluationError.
    """
    found: list[Negative] = []
    decoder = msgspec.json.Decoder(_Line)
    for path in paths:
        for number, line in read_lines(path):
            try:
                one = decoder.decode(line) if line.startswith("{") else _Line(line)
            except msgspec.MsgspecError as error:
                raise EvaluationError(f"{path}, line {number}: {error}") from None
            kind = one.kind or path.name
            found.append(Negative(query=one.query, kind=kind, id=one.id, creator=one.creator))
    return found


def negatives_for(
    dataset: Dataset, language: str, others: Sequence[tuple[Dataset, str]]
) -> list[Negative]:
    """Return the questions of the other datasets in this language; `others` has their languages."""
    return [
        Negative(query=text, kind=other.name)
        for other, other_language in others
        if other is not dataset and other_language == language
        for text in questions_of(other)
    ]


def sample_negatives(negatives: Sequence[Negative], own: Collection[str]) -> list[Negative]:
    """Return at most `MAX_QUESTIONS`, evenly spaced, without the dataset's own questions."""
    left = [one for one in negatives if one.query not in own]
    if len(left) <= MAX_QUESTIONS:
        return left
    return [left[i * len(left) // MAX_QUESTIONS] for i in range(MAX_QUESTIONS)]
