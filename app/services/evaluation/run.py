"""Evaluate datasets: ingest each into a scratch library, search or ask, measure and report."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from app.services.evaluation.beir import BeirDataset
from app.services.evaluation.datasets import Dataset, dataset_language, questions_of, read_datasets
from app.services.evaluation.errors import EvaluationError
from app.services.evaluation.library import AskableLibrary, measure_library
from app.services.evaluation.library_report import LibraryReport
from app.services.evaluation.measure import judge_queries, measure, measure_refusals
from app.services.evaluation.negatives import (
    Negative,
    negatives_for,
    read_negatives,
    sample_negatives,
)
from app.services.evaluation.output import Report
from app.services.evaluation.passages import read_passage_index
from app.services.evaluation.questions import read_questions
from app.services.evaluation.report import BeirReport, build_report, summarize_refusals
from app.services.evaluation.scratch_library import OpenLibrary, ScratchLibrary, scratch_library
from app.services.ingest.progress import Progress


async def evaluate(
    database_url: str,
    folders: Sequence[Path],
    *,
    open_library: OpenLibrary,
    split: str | None = None,
    within: str | None = None,
    questions: Sequence[Path] = (),
    negatives: Sequence[Path] = (),
    log_step: Callable[[str], None] = lambda step: None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> list[Report]:
    """Measure each dataset in a scratch database on the server of `database_url`.

    `split`, `within` and `questions` are as in `read_datasets`. The questions to refuse come from
    the files `negatives`, or else from the other datasets in the same language; calibration does
    not use them. `log_step` is called with a line of text, `report` with the progress of ingestion.
    Raises EvaluationError, IngestError, LibraryUnavailable.
    """
    datasets = await asyncio.to_thread(
        read_datasets, folders, split=split, within=within, questions=questions
    )
    given = await asyncio.to_thread(read_negatives, negatives)
    languages = [(dataset, dataset_language(dataset)) for dataset in datasets]
    reports: list[Report] = []
    for dataset, language in languages:
        others = negatives_for(dataset, language, languages)
        to_refuse = given or sample_negatives(others, set(questions_of(dataset)))
        log_step(f"{dataset.name}: ingesting")
        async with scratch_library(
            database_url, open_library, dataset, language, report
        ) as library:
            reports.append(await _measure(library, dataset, language, to_refuse, log_step))
    return reports


async def evaluate_ingested(
    library: AskableLibrary,
    *,
    questions: Sequence[Path] = (),
    negatives: Sequence[Path] = (),
    log_step: Callable[[str], None] = lambda step: None,
) -> LibraryReport:
    """Measure a library as it is, without changing it.

    Raises EvaluationError and LibraryUnavailable.
    """
    return await measure_library(
        library,
        "library",
        await asyncio.to_thread(read_questions, questions),
        await asyncio.to_thread(read_negatives, negatives),
        log_step=log_step,
    )


async def _measure(
    library: ScratchLibrary,
    dataset: Dataset,
    language: str,
    negatives: Sequence[Negative],
    log_step: Callable[[str], None],
) -> Report:
    if isinstance(dataset, BeirDataset):
        log_step(f"{dataset.name}: searching {library.passages:,} passages")
        return await _measure_beir(library, dataset, language, negatives)
    return await measure_library(
        AskableLibrary(library.connection, library.asker),
        dataset.name,
        dataset.questions,
        negatives,
        ingestion=library.ingestion,
        log_step=log_step,
    )


async def _measure_beir(
    library: ScratchLibrary, dataset: BeirDataset, language: str, negatives: Sequence[Negative]
) -> BeirReport:
    entries = {entry for query in dataset.queries for entry in query.grades}
    index = await read_passage_index(library.connection, entries)
    queries = judge_queries(dataset, library.creators, index)
    judged = [query for query in queries if query.is_answerable]
    if not judged:
        raise EvaluationError(f"{dataset.name}: no question has an answer in the library")
    results = await measure(library.searcher, judged, index)
    refused = await measure_refusals(library.searcher, negatives, list(library.creators.values()))
    return build_report(
        name=dataset.name,
        language=language,
        within=dataset.within,
        passages=library.passages,
        skipped=tuple(query.id for query in queries if not query.is_answerable),
        results=results,
        off_topic=summarize_refusals(refused),
        ingestion=library.ingestion,
    )
