"""The questions about the sample library get the right moments, facts and refusals."""

from pathlib import Path

import anyio
import pytest

from app.cli.eval import open_ingested_library
from app.config import Settings
from app.services.evaluation.library_report import Cell, LibraryReport, Refused
from app.services.evaluation.passages import read_passage_index
from app.services.evaluation.questions import read_questions
from app.services.evaluation.run import evaluate_ingested

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parents[2] / "questions"
QUESTIONS, NEGATIVES = FOLDER / "sample.jsonl", FOLDER / "sample-negatives.jsonl"
# The least share of the English questions, and of the negatives.
FLOORS = {
    "moment_at_1": 0.85,
    "moment_at_5": 0.95,
    "sentence_at_5": 0.95,
    "document_at_5": 0.95,
    "told": 0.75,
    "cites": 0.90,
    "creator_tier": 0.95,
}
# Words alone do less.
LEXICAL_FLOORS = FLOORS | {"cites": 0.85, "creator_tier": 0.85}
MAX_WRONGLY_REFUSED = 0.04
MIN_NEGATIVES_REFUSED = 0.8


@pytest.fixture(params=["", "none"])
def settings(library_url: str, request: pytest.FixtureRequest) -> Settings:
    """Settings with the default embedder, and without one."""
    return Settings(database_url=library_url, embedding_model=request.param)


async def measured(settings: Settings) -> LibraryReport:
    async with open_ingested_library(settings) as library:
        with anyio.fail_after(30):
            return await evaluate_ingested(library, questions=[QUESTIONS], negatives=[NEGATIVES])


def find_cell(report: LibraryReport, scope: str) -> Cell:
    (cell,) = (
        one for one in report.cells if (one.scope, one.kind, one.lang) == (scope, None, None)
    )
    return cell


def find_refused(report: LibraryReport, kind: str | None) -> Refused:
    (one,) = (one for one in report.negatives if one.kind == kind)
    return one


async def test_answers_and_refusals_reach_their_floors(settings: Settings) -> None:
    report = await measured(settings)
    english, negatives = find_cell(report, "main"), find_refused(report, None)
    assert (english.questions, negatives.questions) == (27, 10)
    floors = LEXICAL_FLOORS if settings.embedding_model == "none" else FLOORS
    below = {
        name: share for name, floor in floors.items() if (share := getattr(english, name)) < floor
    }
    assert below == {}
    assert english.wrongly_refused <= MAX_WRONGLY_REFUSED
    assert negatives.refused >= MIN_NEGATIVES_REFUSED
    assert find_refused(report, "offtopic").refused == 1


async def test_questions_in_other_languages_find_english_moments(library_url: str) -> None:
    report = await measured(Settings(database_url=library_url))
    assert find_cell(report, "across").moment_at_5 == 1


async def test_every_answer_is_in_the_sample_library(library_url: str) -> None:
    questions = read_questions([QUESTIONS])
    answers = [answer for question in questions for answer in question.answers]
    async with open_ingested_library(Settings(database_url=library_url)) as library:
        index = await read_passage_index(library.connection, {one.document for one in answers})
    assert [one for one in answers if not any(index.passages_with([one]))] == []
    assert len(questions) == 30
    assert all(question.facts and question.kind for question in questions)
