"""The folders of a command line come in; the sets they hold, read and checked, go out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from app.services.evaluation.beir import JudgedSet, is_judged, read_judged
from app.services.evaluation.jsonl import EvaluationError
from app.services.evaluation.questions import LibrarySet, read_library
from app.services.ingest.parse.language import language_of

EvaluationSet: TypeAlias = JudgedSet | LibrarySet

# Enough to tell a language by.
_SAMPLE = 100


def read_sets(
    folders: Sequence[Path],
    *,
    split: str | None = None,
    within: str | None = None,
    questions: Path | None = None,
) -> list[EvaluationSet]:
    """Read every set; a folder with several languages holds one for each. Raises EvaluationError.

    `split` and `within` are for folders of BEIR's kind (see `read_judged`), `questions` is for
    the one library among the folders.
    """
    found: list[EvaluationSet] = []
    for folder in folders:
        if not folder.is_dir():
            raise EvaluationError(f"there is no folder {folder}")
        if is_judged(folder):
            found += read_judged(folder, split, within)
        else:
            found.append(read_library(folder, questions))
    if within and not any(isinstance(one, JudgedSet) and one.within for one in found):
        raise EvaluationError(
            f"no question has {within!r} in its metadata: --within names no field"
        )
    libraries = sum(isinstance(one, LibrarySet) for one in found)
    if questions and libraries != 1:
        raise EvaluationError(f"--questions is for one library, and there are {libraries}")
    return found


def set_language(one: EvaluationSet) -> str:
    """Return the BCP 47 tag that a set's files are named by, else of what its texts are in."""
    if isinstance(one, LibrarySet):
        return language_of(" ".join(questions_of(one)[:_SAMPLE]), None)
    texts = " ".join(entry.text for entry in one.entries[:_SAMPLE])
    return one.language or language_of(texts, None)


def questions_of(one: EvaluationSet) -> list[str]:
    """Return a set's questions, each so that it can be understood by itself."""
    if isinstance(one, JudgedSet):
        return [query.text for query in one.queries]
    return [question.whole or question.query for question in one.questions]
