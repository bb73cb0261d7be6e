"""Read datasets in BEIR format.

A folder contains `corpus.jsonl` and `queries.jsonl`, or a pair per language (`corpus.de.jsonl`,
`queries.de.jsonl`), and relevance judgements: `qrels/dev.tsv`, `dev.tsv` or `de.tsv`.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from app.services.evaluation.errors import EvaluationError
from app.services.evaluation.jsonl import read_json_lines, read_lines

_CORPUS = re.compile(r"corpus(?:\.([A-Za-z]{2,3}(?:-[A-Za-z]{2,4})?))?\.jsonl")


class CorpusEntry(Struct, frozen=True):
    """A line of `corpus.jsonl`; it becomes one passage."""

    id: str | int = msgspec.field(name="_id")
    text: str = ""
    title: str | None = None
    metadata: dict[str, object] | None = None


class Query(Struct, frozen=True):
    """A line of `queries.jsonl`."""

    id: str | int = msgspec.field(name="_id")
    text: str = ""
    metadata: dict[str, object] | None = None


class JudgedQuery(Struct, frozen=True):
    """A query with its relevance judgements, corpus id → grade.

    `group` limits the search to a part of the corpus; `answer` is the text of the answer, if known.
    """

    id: str
    text: str
    grades: dict[str, int]
    group: str | None = None
    answer: str | None = None


class BeirDataset(Struct, frozen=True):
    """A corpus and its queries in one language; `groups` maps each entry's id to its group."""

    name: str
    language: str | None
    entries: tuple[CorpusEntry, ...]
    queries: tuple[JudgedQuery, ...]
    within: str | None = None
    groups: dict[str, str] = {}


def is_beir(folder: Path) -> bool:
    """Return whether a folder contains a corpus."""
    return any(_CORPUS.fullmatch(path.name) for path in folder.iterdir())


def read_beir(folder: Path, split: str | None, within: str | None) -> list[BeirDataset]:
    """Read a folder, one dataset per language. Raises EvaluationError.

    `split` is the stem of the judgements file if there are several. `within` names a metadata field
    of the queries: a query is searched only in entries that have the same value in that field, or
    in their id before `#`. It is ignored for queries without the field.
    """
    found = {path: match[1] for path in folder.iterdir() if (match := _CORPUS.fullmatch(path.name))}
    return [
        _read(corpus, _judgements_path(folder, language, split), language, within)
        for corpus, language in sorted(found.items())
    ]


def _judgements_path(folder: Path, language: str | None, split: str | None) -> Path:
    """Choose the judgements file: `dev.tsv`; with a language, `de.tsv` or `dev.de.tsv`."""
    files: dict[str, Path] = {}
    for path in sorted([*folder.glob("qrels/*.tsv"), *folder.glob("*.tsv")]):
        parts = path.stem.split(".") if language else [path.stem]
        if language is None or language in parts:
            files.setdefault(".".join(part for part in parts if part != language), path)
    if not files:
        expected = f"{language}.tsv" if language else "qrels/*.tsv"
        raise EvaluationError(
            f"{folder} has no judgements: expected {expected} with the columns query-id, corpus-id"
            " and score"
        )
    if split is None and len(files) == 1:
        return next(iter(files.values()))
    if split in files:
        return files[split]
    # A file that is named only after its language applies to every split.
    if "" in files:
        return files[""]
    raise EvaluationError(
        f"{folder} has the judgements {', '.join(files)}: choose one with --split"
    )


def _read(corpus: Path, judgements: Path, language: str | None, within: str | None) -> BeirDataset:
    folder = corpus.parent
    entries = tuple(read_json_lines(corpus, CorpusEntry))
    if len({str(entry.id) for entry in entries}) < len(entries):
        raise EvaluationError(f"{corpus} has entries with the same _id")
    path = folder / corpus.name.replace("corpus", "queries")
    queries = list(read_json_lines(path if path.is_file() else folder / "queries.jsonl", Query))
    grades = read_judgements(judgements)
    if not any(str(query.id) in grades for query in queries):
        raise EvaluationError(f"{judgements} judges none of the queries in {path}")
    field = within if any(within in (query.metadata or {}) for query in queries) else None
    groups = {str(entry.id): _group(entry, field) for entry in entries} if field else {}
    judged = tuple(
        _judged(query, grades[str(query.id)], field) for query in queries if str(query.id) in grades
    )
    known = set(groups.values())
    for one in judged:
        if one.group is not None and one.group not in known:
            raise EvaluationError(
                f"{path}: query {one.id!r} has the {field} {one.group!r}, but no corpus entry has"
                " it in its metadata or in its _id before #"
            )
    return BeirDataset(
        name=f"{folder.resolve().name}.{language}" if language else folder.resolve().name,
        language=language,
        entries=entries,
        queries=judged,
        within=field,
        groups=groups,
    )


def _judged(query: Query, grades: Mapping[str, int], within: str | None) -> JudgedQuery:
    metadata = query.metadata or {}
    group = metadata.get(within) if within else None
    answer = metadata.get("answer")
    return JudgedQuery(
        id=str(query.id),
        text=query.text,
        grades=dict(grades),
        group=None if group is None else str(group),
        answer=answer if isinstance(answer, str) else None,
    )


def _group(entry: CorpusEntry, within: str) -> str:
    group = (entry.metadata or {}).get(within)
    return str(entry.id).partition("#")[0] if group is None else str(group)


def read_judgements(path: Path) -> dict[str, dict[str, int]]:
    """Return the positive judgements, query id → corpus id → grade. Raises EvaluationError."""
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    for number, line in read_lines(path):
        fields = line.split("\t")
        try:
            query, entry, score = fields
            grade = int(score)
        except ValueError:
            if number == 1:  # The header.
                continue
            raise EvaluationError(
                f"{path}, line {number}: expected query-id, corpus-id and an integer score,"
                " separated by tabs"
            ) from None
        if grade > 0:
            grades[query][entry] = grade
    return dict(grades)
