"""Read the datasets in the folders of a command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from app.services.evaluation.beir import BeirDataset, is_beir, read_beir
from app.services.evaluation.errors import EvaluationError
from app.services.evaluation.questions import LibraryDataset, read_library
from app.services.ingest.parse.language import detect_language

Dataset: TypeAlias = BeirDataset | LibraryDataset

# The number of texts that are used to detect a language.
_LANGUAGE_SAMPLE = 100


def read_datasets(
    folders: Sequence[Path],
    *,
    split: str | None = None,
    within: str | None = None,
    questions: Sequence[Path] = (),
) -> list[Dataset]:
    """Read the datasets, one per language of a folder. Raises EvaluationError.

    `split` and `within` apply to BEIR folders (see `read_beir`), `questions` are files for the only
    library among the folders.
    """
    found: list[Dataset] = []
    for folder in folders:
        if not folder.is_dir():
            raise EvaluationError(f"{folder} is not a folder")
        if is_beir(folder):
            found += read_beir(folder, split, within)
        else:
            found.append(read_library(folder, questions))
    if within and not any(isinstance(one, BeirDataset) and one.within for one in found):
        raise EvaluationError(f"--within: no query has the metadata field {within!r}")
    libraries = sum(isinstance(one, LibraryDataset) for one in found)
    if questions and libraries != 1:
        raise EvaluationError(f"--questions needs exactly one library, but there are {libraries}")
    return found


def dataset_language(dataset: Dataset) -> str:
    """Return the BCP 47 tag in the dataset's file names, or else the language of its texts."""
    if isinstance(dataset, LibraryDataset):
        return detect_language(" ".join(questions_of(dataset)[:_LANGUAGE_SAMPLE]), None)
    texts = " ".join(entry.text for entry in dataset.entries[:_LANGUAGE_SAMPLE])
    return dataset.language or detect_language(texts, None)


def questions_of(dataset: Dataset) -> list[str]:
    """Return the dataset's questions, each self-contained."""
    if isinstance(dataset, BeirDataset):
        return [query.text for query in dataset.queries]
    return [question.whole or question.query for question in dataset.questions]
