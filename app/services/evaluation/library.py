"""Ask the questions about a library, and report the outcomes."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from app.infra.database import Connection
from app.services.evaluation.asking import Asker
from app.services.evaluation.errors import EvaluationError
from app.services.evaluation.judging import QuestionOutcome, judge, judge_negative
from app.services.evaluation.library_report import (
    LibraryReport,
    is_among,
    summarize,
    summarize_follow_ups,
    summarize_negatives,
    summarize_times,
)
from app.services.evaluation.negatives import Negative
from app.services.evaluation.passages import PassageIndex, read_passage_index
from app.services.evaluation.questions import Question
from app.services.evaluation.report import Ingestion

COUNT_PASSAGES = "SELECT count(*) FROM passages"
MAIN_LANGUAGE = """
SELECT d.language FROM documents d JOIN passages p ON p.document_id = d.id
GROUP BY d.language ORDER BY count(*) DESC, d.language LIMIT 1
"""
# Questions asked before those that are timed.
WARM_UP = 3


class AskableLibrary(Struct, frozen=True):
    """A library: a connection to its database, and an asker of questions."""

    connection: Connection
    asker: Asker


async def measure_library(
    library: AskableLibrary,
    name: str,
    questions: Sequence[Question],
    negatives: Sequence[Negative],
    *,
    ingestion: Ingestion | None = None,
    log_step: Callable[[str], None] = lambda step: None,
) -> LibraryReport:
    """Ask all questions sequentially. Raises EvaluationError and LibraryUnavailable."""
    passages = await library.connection.fetchval(COUNT_PASSAGES)
    if not passages:
        raise EvaluationError(f"{name}: the library is empty")
    main = await library.connection.fetchval(MAIN_LANGUAGE)
    documents = {answer.document for question in questions for answer in question.answers}
    index = await read_passage_index(library.connection, documents)
    answerable = [one for one in questions if any(index.passages_with(one.answers))]
    if questions and not answerable:
        raise EvaluationError(f"{name}: no question has an answer in the library")

    log_step(f"{name}: asking {len(answerable) + len(negatives):,} questions")
    for question in answerable[:WARM_UP]:
        await library.asker.ask(question.query, question.creator)
    outcomes = [await _ask(library.asker, question, index, main) for question in answerable]
    refused = [
        judge_negative(one, await library.asker.ask(one.query, one.creator)) for one in negatives
    ]
    return LibraryReport(
        name=name,
        language=main,
        passages=passages,
        questions=len(outcomes),
        skipped=tuple(one.id for one in questions if one not in answerable),
        cells=summarize(outcomes),
        negatives=summarize_negatives(refused),
        search_ms=summarize_times([one.search_ms for one in outcomes]),
        reply_ms=summarize_times([one.total_ms for one in outcomes]),
        ingestion=ingestion,
        follow_ups=summarize_follow_ups(
            await find_follow_ups(library.asker, answerable, outcomes, index, main)
        ),
        outcomes=tuple(outcomes),
        negative_outcomes=tuple(refused),
    )


async def _ask(asker: Asker, question: Question, index: PassageIndex, main: str) -> QuestionOutcome:
    reply = await asker.ask(question.query, question.creator, question.history)
    return judge(question, reply, index, main)


async def find_follow_ups(
    asker: Asker,
    questions: Sequence[Question],
    outcomes: Sequence[QuestionOutcome],
    index: PassageIndex,
    main: str,
) -> dict[str, tuple[bool, bool]]:
    """Map the ids of follow-ups to whether they, and the standalone questions, find an answer."""
    found = {}
    for question, outcome in zip(questions, outcomes, strict=True):
        if question.history and question.whole:
            reply = await asker.ask(question.whole, question.creator)
            whole = judge(question, reply, index, main)
            found[question.id] = is_among(outcome.moment_rank), is_among(whole.moment_rank)
    return found
