"""Folders of judged questions come in; each is ingested, searched and measured: reports go out."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from app.config import Settings
from app.services.evaluation.beir import JudgedSet
from app.services.evaluation.conversations import searched_question
from app.services.evaluation.datasets import EvaluationSet, questions_of, read_sets, set_language
from app.services.evaluation.jsonl import EvaluationError
from app.services.evaluation.measure import (
    Judged,
    judged_queries,
    judged_question,
    measure,
    refusals,
    served_recall,
)
from app.services.evaluation.off_topic import OffTopic, off_topic_for, read_off_topic, sampled
from app.services.evaluation.passages import PassageIndex, read_shelf
from app.services.evaluation.questions import LibrarySet
from app.services.evaluation.report import (
    FollowUps,
    Ingestion,
    SetReport,
    follow_ups_of,
    refusals_of,
    set_report,
)
from app.services.evaluation.setup import FilledLibrary, filled_library
from app.services.ingest.report import Progress


def _silent(_: object) -> None:
    pass


async def evaluate(
    settings: Settings,
    folders: Sequence[Path],
    *,
    split: str | None = None,
    within: str | None = None,
    questions: Path | None = None,
    off_topic: Path | None = None,
    tell: Callable[[str], None] = _silent,
    report: Callable[[Progress], None] = _silent,
) -> list[SetReport]:
    """Measure each set in a database of its own, on the server of `settings.database_url`.

    `split`, `within` and `questions` are as `read_sets` takes them. Off-topic questions are those
    of the file `off_topic`, else those of the other sets in the same language; calibration sees
    none of them. `tell` is given a line now and then, `report` how far the filling is.
    Raises EvaluationError, IngestError, LibraryUnavailable.
    """
    sets = await asyncio.to_thread(
        read_sets, folders, split=split, within=within, questions=questions
    )
    given = await asyncio.to_thread(read_off_topic, off_topic) if off_topic else None
    spoken = [(one, set_language(one)) for one in sets]
    reports: list[SetReport] = []
    for one, language in spoken:
        foreign = off_topic_for(one, language, spoken) if given is None else given
        tell(f"{one.name}: filling a library")
        async with filled_library(settings, one, language, report) as library:
            tell(f"{one.name}: searching {library.passages:,} passages")
            reports.append(
                await _measured(library, one, language, sampled(foreign, set(questions_of(one))))
            )
    return reports


async def _measured(
    library: FilledLibrary, one: EvaluationSet, language: str, foreign: Sequence[OffTopic]
) -> SetReport:
    shelf = await read_shelf(library.connection, _documents(one))
    every = await _judged(library, one, shelf)
    judged = [question for question in every if question.is_answered]
    if not judged:
        raise EvaluationError(f"{one.name}: nothing that its questions ask for is in its library")
    outcomes = await measure(library.searcher, judged, shelf)
    served = {outcome.id: outcome.served for outcome in outcomes}
    refused = await refusals(library.searcher, foreign, list(library.creators.values()))
    return set_report(
        name=one.name,
        language=language,
        within=one.within if isinstance(one, JudgedSet) else None,
        passages=library.passages,
        skipped=tuple(question.id for question in every if not question.is_answered),
        outcomes=outcomes,
        off_topic=refusals_of(refused),
        ingestion=Ingestion(
            seconds=library.ingestion_seconds,
            passages_per_second=library.passages / library.ingestion_seconds,
            calibration_seconds=library.calibration_seconds,
        ),
        follow_ups=await _follow_ups(library, one, served, shelf),
    )


def _documents(one: EvaluationSet) -> set[str]:
    if isinstance(one, JudgedSet):
        return {entry for query in one.queries for entry in query.grades}
    return {answer.document for question in one.questions for answer in question.answers}


async def _judged(library: FilledLibrary, one: EvaluationSet, shelf: PassageIndex) -> list[Judged]:
    if isinstance(one, JudgedSet):
        return judged_queries(one, library.creators, shelf)
    return [
        judged_question(question, await searched_question(library.searcher, question), shelf)
        for question in one.questions
    ]


async def _follow_ups(
    library: FilledLibrary, one: EvaluationSet, served: dict[str, float], shelf: PassageIndex
) -> FollowUps | None:
    """Ask what was asked as a follow-up whole as well; `served` has what the follow-ups found."""
    asked = one.questions if isinstance(one, LibrarySet) else ()
    pairs: dict[str, tuple[float, float]] = {}
    for question in asked:
        if question.history and question.whole and question.id in served:
            found = await library.searcher.search(question.whole, question.creator)
            whole = served_recall(found.sources, question.answers, shelf)
            pairs[question.id] = served[question.id], whole
    return follow_ups_of(pairs)
