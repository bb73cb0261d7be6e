"""Read questions about a library, with the locations of their answers."""

from pathlib import Path

from msgspec import Struct

from app.services.evaluation.errors import EvaluationError
from app.services.evaluation.jsonl import read_json_lines

QUESTIONS = "questions.jsonl"


class Answer(Struct, frozen=True):
    """The location of an answer: a time span or some words of a document, or all of it.

    `document` is its key in the library: the video of a manifest, or the path of the file.
    """

    document: str
    start: float | None = None
    end: float | None = None
    contains: str | None = None

    def is_in(self, start: float | None, end: float | None, text: str) -> bool:
        """Return whether it is in a part of its document; `text` must be normalized."""
        if self.contains is not None and normalize(self.contains) in text:
            return True
        if self.start is None:
            return self.contains is None
        if start is None or end is None:
            return False
        own_end = self.start if self.end is None else self.end
        return self.start < end and (start < own_end or start == self.start)


class Question(Struct, frozen=True):
    """A line of `questions.jsonl`; its answers are alternatives.

    A follow-up has in `history` the questions asked before it, and in `whole` the same question
    phrased so that it is self-contained.
    """

    id: str
    query: str
    answers: tuple[Answer, ...]
    creator: str | None = None
    history: tuple[str, ...] = ()
    whole: str | None = None


class LibraryDataset(Struct, frozen=True):
    """A folder to ingest, and questions about it."""

    name: str
    folder: Path
    questions: tuple[Question, ...]


def read_library(folder: Path, questions: Path | None) -> LibraryDataset:
    """Read the questions of a library from the given file or its own. Raises EvaluationError."""
    path = questions or folder / QUESTIONS
    if not path.is_file():
        raise EvaluationError(
            f"{folder} is not a dataset: expected corpus.jsonl, queries.jsonl and qrels/*.tsv as in"
            f" BEIR, or a library with a {QUESTIONS} (or --questions FILE)"
        )
    found = tuple(read_json_lines(path, Question))
    if not found:
        raise EvaluationError(f"{path} has no questions")
    for question in found:
        if not question.query.strip() or not question.answers:
            raise EvaluationError(f"{path}: question {question.id!r} needs a query and answers")
        if any(one.end is not None and one.start is None for one in question.answers):
            raise EvaluationError(
                f"{path}: an answer of question {question.id!r} has an end but no start"
            )
    if len({question.id for question in found}) < len(found):
        raise EvaluationError(f"{path} has questions with the same id")
    return LibraryDataset(folder.resolve().name, folder, found)


def normalize(text: str) -> str:
    """Normalize case and white space for comparison."""
    return " ".join(text.split()).casefold()
