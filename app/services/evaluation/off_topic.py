"""Sets of questions come in; those that a library has nothing on, taken from others, go out."""

from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from app.services.evaluation.datasets import EvaluationSet, questions_of
from app.services.evaluation.jsonl import EvaluationError, text_lines

# Enough to tell 95 % from 97 %.
MOST = 300


class OffTopic(Struct, frozen=True):
    """A question that should be refused, and the set it comes from."""

    source: str
    text: str


class _Text(Struct, frozen=True):
    text: str


def read_off_topic(path: Path) -> list[OffTopic]:
    """Read questions, one a line: plain, or JSON with a `text`. Raises EvaluationError."""
    decoder = msgspec.json.Decoder(_Text)
    found: list[OffTopic] = []
    for number, line in text_lines(path):
        try:
            text = decoder.decode(line).text if line.startswith("{") else line
        except msgspec.MsgspecError as error:
            raise EvaluationError(f"line {number} of {path} is wrong: {error}") from None
        found.append(OffTopic(path.name, text))
    return found


def off_topic_for(
    own: EvaluationSet, language: str, others: Sequence[tuple[EvaluationSet, str]]
) -> list[OffTopic]:
    """Take the questions that other sets ask in the same language; sets come with theirs."""
    return [
        OffTopic(other.name, text)
        for other, spoken in others
        if other is not own and spoken == language
        for text in questions_of(other)
    ]


def sampled(questions: Sequence[OffTopic], asked: Collection[str]) -> list[OffTopic]:
    """Take at most `MOST`, evenly and always the same, and none that the set asks itself."""
    left = [one for one in questions if one.text not in asked]
    if len(left) <= MOST:
        return left
    return [left[i * len(left) // MOST] for i in range(MOST)]
