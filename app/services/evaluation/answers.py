"""Check whether extractive answers are correct and consist of quotations only."""

import re
from collections.abc import Sequence

from msgspec import Struct

from app.schemas import Source
from app.services.chat.citations import strip_markers
from app.services.evaluation.questions import normalize

_QUOTATION = re.compile(r"\s*(.*?) \[(\d+)\]", re.DOTALL)


class AnswerCheck(Struct, frozen=True):
    """The check of one answer.

    `served`: the sources contain the expected answer. `correct`: the answer contains its words.
    `ungrounded`: the answer has text that is not in the source it cites.
    """

    served: bool
    correct: bool
    ungrounded: bool


class ExtractiveAnswers(
    Struct, frozen=True, rename={"answers": "replies", "correct": "told", "ungrounded": "foreign"}
):
    """Totals for the questions with known answers; fields are renamed in JSON.

    `correct` is the share of correct answers among the `served` ones; `ungrounded` counts all.
    """

    answers: int
    served: int
    correct: float | None
    ungrounded: int


def summarize_answers(checks: Sequence[AnswerCheck]) -> ExtractiveAnswers:
    """Sum up the answers of a dataset."""
    served = [one for one in checks if one.served]
    return ExtractiveAnswers(
        answers=len(checks),
        served=len(served),
        correct=sum(one.correct for one in served) / len(served) if served else None,
        ungrounded=sum(one.ungrounded for one in checks),
    )


def contains_answer(answer: str, expected: str) -> bool:
    """Return whether an answer contains the expected words, ignoring case and white space."""
    return normalize(expected) in normalize(strip_markers(answer))


def is_ungrounded(answer: str, sources: Sequence[Source]) -> bool:
    """Return whether an answer has text other than sentences of the sources it cites."""
    if not answer:
        return False
    sentences = {one.citation.number: [s.text for s in one.sentences] for one in sources}
    if any(
        not _is_run(text, sentences.get(int(number), ()))
        for text, number in _QUOTATION.findall(answer)
    ):
        return True
    return bool(_QUOTATION.sub("", answer).strip())


def _is_run(text: str, sentences: Sequence[str]) -> bool:
    """Return whether a text consists of consecutive sentences, joined by spaces."""
    for first in range(len(sentences)):
        end = 0
        for sentence in sentences[first:]:
            if not text.startswith(sentence, end):
                break
            end += len(sentence)
            if end == len(text):
                return True
            if text[end] != " ":
                break
            end += 1
    return False
