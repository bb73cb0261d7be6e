"""A file of questions over a library comes in; each with where its answers stand goes out."""

from pathlib import Path

from msgspec import Struct

from app.services.evaluation.jsonl import EvaluationError, json_lines

QUESTIONS = "questions.jsonl"


class Answer(Struct, frozen=True):
    """Where an answer stands: a document, in it some seconds, or words; else all of it.

    `document` is its key in the library: the video of a manifest, or the file's path.
    """

    document: str
    start: float | None = None
    end: float | None = None
    contains: str | None = None

    def stands_in(self, start: float | None, end: float | None, text: str) -> bool:
        """Tell whether it is in a piece of its document, of these seconds and this folded text."""
        if self.contains is not None and folded(self.contains) in text:
            return True
        if self.start is None:
            return self.contains is None
        if start is None or end is None:
            return False
        until = self.start if self.end is None else self.end
        return self.start < end and (start < until or start == self.start)


class Question(Struct, frozen=True):
    """A line of `questions.jsonl`; any of its answers answers all of it.

    With `history`, the questions asked before it in the same conversation; then `whole` is the
    same question so that it can be understood without them.
    """

    id: str
    query: str
    answers: tuple[Answer, ...]
    creator: str | None = None
    history: tuple[str, ...] = ()
    whole: str | None = None


class LibrarySet(Struct, frozen=True):
    """A folder that can be ingested, and questions over what it holds."""

    name: str
    folder: Path
    questions: tuple[Question, ...]


def read_library(folder: Path, questions: Path | None) -> LibrarySet:
    """Read a library's questions, from the file given or its own. Raises EvaluationError."""
    path = questions or folder / QUESTIONS
    if not path.is_file():
        raise EvaluationError(
            f"{folder} is no set: expected corpus.jsonl, queries.jsonl and qrels/*.tsv as BEIR has"
            f" them, or a library with a {QUESTIONS} (or --questions FILE)"
        )
    found = tuple(json_lines(path, Question))
    if not found:
        raise EvaluationError(f"{path} holds no questions")
    for question in found:
        if not question.query.strip() or not question.answers:
            raise EvaluationError(f"{path}: the question {question.id!r} needs a query and answers")
        if any(one.end is not None and one.start is None for one in question.answers):
            raise EvaluationError(f"{path}: an answer of {question.id!r} has an end and no start")
    if len({question.id for question in found}) < len(found):
        raise EvaluationError(f"{path} has questions with the same id")
    return LibrarySet(folder.resolve().name, folder, found)


def folded(text: str) -> str:
    """Fold a text so that case and white space do not matter."""
    return " ".join(text.split()).casefold()
