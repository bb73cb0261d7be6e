"""Read questions about a library, with the locations of their answers."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from msgspec import Struct

from app.services.evaluation.errors import EvaluationError
from app.services.evaluation.jsonl import read_json_lines

QUESTIONS = "questions.jsonl"


class Answer(Struct, frozen=True):
    """The location of an answer: a time span, some words, or both, of a document, or all of it.

    `document` is its key in the library: the video of a manifest, or the path of the file. `start`
    and `end` are seconds; `contains` is part of the sentence that answers.
    """

    document: str
    start: float | None = None
    end: float | None = None
    contains: str | None = None

    def is_in(self, start: float | None, end: float | None, text: str) -> bool:
        """Return whether its words, or else its times, are in a part of its document.

        `text` must be normalized.
        """
        if self.contains is not None:
            return normalize(self.contains) in text
        return self.start is None or self.overlaps(start, end)

    def overlaps(self, start: float | None, end: float | None) -> bool:
        """Return whether its times overlap those of a part of its document."""
        if self.start is None or start is None or end is None:
            return False
        own_end = self.start if self.end is None else self.end
        return self.start < end and (start < own_end or start == self.start)


class Question(Struct, frozen=True):
    """A line of a questions file; see docs/evaluation.md.

    Its `answers` are alternatives. `facts` are groups of alternatives: a right answer contains one
    of each group. `lang` is a BCP 47 tag. A follow-up has in `history` the questions asked before
    it, and in `whole` the same question phrased so that it is self-contained.
    """

    id: str
    query: str
    answers: tuple[Answer, ...]
    kind: str | None = None
    lang: str | None = None
    creator: str | None = None
    facts: tuple[tuple[str, ...], ...] = ()
    history: tuple[str, ...] = ()
    whole: str | None = None
    note: str | None = None


class LibraryDataset(Struct, frozen=True):
    """Questions about a library, and its folder, or None if it is ingested already."""

    name: str
    folder: Path | None
    questions: tuple[Question, ...]


def read_library(folder: Path, questions: Sequence[Path] = ()) -> LibraryDataset:
    """Read the questions of a library from the given files or its own. Raises EvaluationError."""
    if not questions and not (folder / QUESTIONS).is_file():
        raise EvaluationError(
            f"{folder} is not a dataset: expected corpus.jsonl, queries.jsonl and qrels/*.tsv as in"
            f" BEIR, or a library with a {QUESTIONS} (or --questions FILE)"
        )
    found = read_questions(questions or [folder / QUESTIONS])
    return LibraryDataset(folder.resolve().name, folder, found)


def read_questions(paths: Sequence[Path]) -> tuple[Question, ...]:
    """Read questions from one or more files. Raises EvaluationError."""
    found: dict[str, Question] = {}
    for path in paths:
        questions = list(read_json_lines(path, Question))
        if not questions:
            raise EvaluationError(f"{path} has no questions")
        for question in questions:
            _check(question, path)
            if question.id in found:
                raise EvaluationError(f"{path}: the id {question.id!r} is used twice")
            found[question.id] = question
    return tuple(found.values())


def _check(question: Question, path: Path) -> None:
    if not question.query.strip() or not question.answers:
        raise EvaluationError(f"{path}: question {question.id!r} needs a query and answers")
    if any(one.end is not None and one.start is None for one in question.answers):
        raise EvaluationError(
            f"{path}: an answer of question {question.id!r} has an end but no start"
        )
    if not all(question.facts) or not all(map(str.strip, chain(*question.facts))):
        raise EvaluationError(f"{path}: question {question.id!r} has an empty group or fact")


def normalize(text: str) -> str:
    """Normalize case and white space for comparison."""
    return " ".join(text.split()).casefold()
