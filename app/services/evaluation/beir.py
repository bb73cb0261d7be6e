"""A folder as BEIR has it comes in; its entries, and its questions with judgements, go out.

The folder holds `corpus.jsonl` and `queries.jsonl`, or one pair for each language
(`corpus.de.jsonl`, `queries.de.jsonl`), and judgements: `qrels/dev.tsv`, `dev.tsv` or `de.tsv`.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from app.services.evaluation.jsonl import EvaluationError, json_lines, text_lines

_CORPUS = re.compile(r"corpus(?:\.([A-Za-z]{2,3}(?:-[A-Za-z]{2,4})?))?\.jsonl")


class Entry(Struct, frozen=True):
    """A line of `corpus.jsonl`, to be found as one passage."""

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
    """A question and the entries that answer it, id → grade.

    `group` is what the question is asked within, None for all; `answer` the words that tell it.
    """

    id: str
    text: str
    grades: dict[str, int]
    group: str | None = None
    answer: str | None = None


class JudgedSet(Struct, frozen=True):
    """A corpus and its questions in one language; `groups` has the group of each entry, by id."""

    name: str
    language: str | None
    entries: tuple[Entry, ...]
    queries: tuple[JudgedQuery, ...]
    within: str | None = None
    groups: dict[str, str] = {}


def is_judged(folder: Path) -> bool:
    """Tell whether a folder holds a corpus."""
    return any(_CORPUS.fullmatch(path.name) for path in folder.iterdir())


def read_judged(folder: Path, split: str | None, within: str | None) -> list[JudgedSet]:
    """Read a folder, one set for each language. Raises EvaluationError.

    `split` names one of several files of judgements by its stem. Where `within` names a field of
    the queries' metadata, a query is asked within the entries that have the same in that field, or
    in their id before `#`; a set without the field is asked as a whole.
    """
    found = {path: match[1] for path in folder.iterdir() if (match := _CORPUS.fullmatch(path.name))}
    return [
        _read(corpus, _judgements_of(folder, language, split), language, within)
        for corpus, language in sorted(found.items())
    ]


def _judgements_of(folder: Path, language: str | None, split: str | None) -> Path:
    """Choose the file of judgements: `dev.tsv`; with a language, `de.tsv` or `dev.de.tsv`."""
    files: dict[str, Path] = {}
    for path in sorted([*folder.glob("qrels/*.tsv"), *folder.glob("*.tsv")]):
        parts = path.stem.split(".") if language else [path.stem]
        if language is None or language in parts:
            files.setdefault(".".join(part for part in parts if part != language), path)
    if not files:
        beside = f"{language}.tsv" if language else "qrels/*.tsv"
        raise EvaluationError(
            f"{folder} has no judgements: {beside}, with query-id corpus-id score"
        )
    if split is None and len(files) == 1:
        return next(iter(files.values()))
    if split in files:
        return files[split]
    # What names no split has only one.
    if "" in files:
        return files[""]
    raise EvaluationError(
        f"{folder} has the judgements {', '.join(files)}: choose one with --split"
    )


def _read(corpus: Path, judgements: Path, language: str | None, within: str | None) -> JudgedSet:
    folder = corpus.parent
    entries = tuple(json_lines(corpus, Entry))
    if len({str(entry.id) for entry in entries}) < len(entries):
        raise EvaluationError(f"{corpus} has entries with the same _id")
    queries = folder / corpus.name.replace("corpus", "queries")
    asked = list(json_lines(queries if queries.is_file() else folder / "queries.jsonl", Query))
    grades = read_judgements(judgements)
    if not any(str(query.id) in grades for query in asked):
        raise EvaluationError(f"{judgements} judges none of the questions in {queries}")
    field = within if any(within in (query.metadata or {}) for query in asked) else None
    groups = {str(entry.id): _group(entry, field) for entry in entries} if field else {}
    judged = tuple(
        _judged(query, grades[str(query.id)], field) for query in asked if str(query.id) in grades
    )
    known = set(groups.values())
    for one in judged:
        if one.group is not None and one.group not in known:
            raise EvaluationError(
                f"{queries}: {one.id!r} is asked within the {field} {one.group!r}, which no entry"
                " has in its metadata, or in its _id before #"
            )
    return JudgedSet(
        name=f"{folder.resolve().name}.{language}" if language else folder.resolve().name,
        language=language,
        entries=entries,
        queries=judged,
        within=field,
        groups=groups,
    )


def _judged(query: Query, grades: Mapping[str, int], within: str | None) -> JudgedQuery:
    told = query.metadata or {}
    group = told.get(within) if within else None
    answer = told.get("answer")
    return JudgedQuery(
        id=str(query.id),
        text=query.text,
        grades=dict(grades),
        group=None if group is None else str(group),
        answer=answer if isinstance(answer, str) else None,
    )


def _group(entry: Entry, within: str) -> str:
    told = (entry.metadata or {}).get(within)
    return str(entry.id).partition("#")[0] if told is None else str(told)


def read_judgements(path: Path) -> dict[str, dict[str, int]]:
    """Read `query-id corpus-id score`, only what is relevant. Raises EvaluationError."""
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    for number, line in text_lines(path):
        fields = line.split("\t")
        try:
            query, entry, score = fields
            grade = int(score)
        except ValueError:
            if number == 1:
                continue
            raise EvaluationError(
                f"line {number} of {path} is wrong: expected query-id, corpus-id and a whole"
                " number, with tabs between"
            ) from None
        if grade > 0:
            grades[query][entry] = grade
    return dict(grades)
