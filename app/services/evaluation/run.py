"""Evaluate datasets: ingest each into a scratch library, search, measure and report."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from app.services.evaluation.beir import BeirDataset
from app.services.evaluation.conversations import standalone_query
from app.services.evaluation.datasets import Dataset, dataset_language, questions_of, read_datasets
from app.services.evaluation.errors import EvaluationError
from app.services.evaluation.measure import (
    JudgedQuestion,
    judge_queries,
    judge_question,
    measure,
    measure_refusals,
    served_recall,
)
from app.services.evaluation.off_topic import (
    OffTopicQuery,
    off_topic_for,
    read_off_topic,
    sample_off_topic,
)
from app.services.evaluation.passages import PassageIndex, read_passage_index
from app.services.evaluation.questions import LibraryDataset
from app.services.evaluation.report import (
    DatasetReport,
    FollowUps,
    Ingestion,
    build_report,
    summarize_follow_ups,
    summarize_refusals,
)
from app.services.evaluation.scratch_library import OpenLibrary, ScratchLibrary, scratch_library
from app.services.ingest.progress import Progress


async def evaluate(
    database_url: str,
    folders: Sequence[Path],
    *,
    open_library: OpenLibrary,
    split: str | None = None,
    within: str | None = None,
    questions: Path | None = None,
    off_topic: Path | None = None,
    log_step: Callable[[str], None] = lambda step: None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> list[DatasetReport]:
    """Measure each dataset in a scratch database on the server of `database_url`.

    `split`, `within` and `questions` are as in `read_datasets`. Off-topic questions come from the
    file `off_topic`, or else from the other datasets in the same language; calibration does not
    use them. `log_step` is called with a line of text, `report` with the progress of ingestion.
    Raises EvaluationError, IngestError, LibraryUnavailable.
    """
    datasets = await asyncio.to_thread(
        read_datasets, folders, split=split, within=within, questions=questions
    )
    given = await asyncio.to_thread(read_off_topic, off_topic) if off_topic else None
    languages = [(dataset, dataset_language(dataset)) for dataset in datasets]
    reports: list[DatasetReport] = []
    for dataset, language in languages:
        queries = off_topic_for(dataset, language, languages) if given is None else given
        queries = sample_off_topic(queries, set(questions_of(dataset)))
        log_step(f"{dataset.name}: ingesting")
        async with scratch_library(
            database_url, open_library, dataset, language, report
        ) as library:
            log_step(f"{dataset.name}: searching {library.passages:,} passages")
            reports.append(await _measure(library, dataset, language, queries))
    return reports


async def _measure(
    library: ScratchLibrary, dataset: Dataset, language: str, off_topic: Sequence[OffTopicQuery]
) -> DatasetReport:
    index = await read_passage_index(library.connection, _judged_documents(dataset))
    questions = await _judge(library, dataset, index)
    judged = [question for question in questions if question.is_answerable]
    if not judged:
        raise EvaluationError(f"{dataset.name}: no question has an answer in the library")
    results = await measure(library.searcher, judged, index)
    served = {result.id: result.served for result in results}
    refused = await measure_refusals(library.searcher, off_topic, list(library.creators.values()))
    return build_report(
        name=dataset.name,
        language=language,
        within=dataset.within if isinstance(dataset, BeirDataset) else None,
        passages=library.passages,
        skipped=tuple(question.id for question in questions if not question.is_answerable),
        results=results,
        off_topic=summarize_refusals(refused),
        ingestion=Ingestion(
            seconds=library.ingestion_seconds,
            passages_per_second=library.passages / library.ingestion_seconds,
            calibration_seconds=library.calibration_seconds,
        ),
        follow_ups=await _follow_ups(library, dataset, served, index),
    )


def _judged_documents(dataset: Dataset) -> set[str]:
    if isinstance(dataset, BeirDataset):
        return {entry for query in dataset.queries for entry in query.grades}
    return {answer.document for question in dataset.questions for answer in question.answers}


async def _judge(
    library: ScratchLibrary, dataset: Dataset, index: PassageIndex
) -> list[JudgedQuestion]:
    if isinstance(dataset, BeirDataset):
        return judge_queries(dataset, library.creators, index)
    return [
        judge_question(question, await standalone_query(library.searcher, question), index)
        for question in dataset.questions
    ]


async def _follow_ups(
    library: ScratchLibrary, dataset: Dataset, served: dict[str, float], index: PassageIndex
) -> FollowUps | None:
    """Compare the `served` recall of follow-ups with that of the standalone questions."""
    questions = dataset.questions if isinstance(dataset, LibraryDataset) else ()
    recall: dict[str, tuple[float, float]] = {}
    for question in questions:
        if question.history and question.whole and question.id in served:
            found = await library.searcher.search(question.whole, question.creator)
            whole = served_recall(found.sources, question.answers, index)
            recall[question.id] = served[question.id], whole
    return summarize_follow_ups(recall)
