"""Over the sample library a follow-up finds what the same question asked whole finds."""

from importlib.resources import as_file, files
from pathlib import Path

import anyio
import pytest

from app.config import Settings
from app.infra.http.client import HTTPClient
from app.library import database, embedder_of, retriever_of
from app.services.evaluation.conversations import searched_question
from app.services.evaluation.measure import served_recall
from app.services.evaluation.passages import PassageIndex, read_shelf
from app.services.evaluation.questions import LibrarySet, read_library
from app.services.evaluation.report import follow_ups_of
from app.services.evaluation.searcher import Searcher

pytestmark = pytest.mark.anyio

CONVERSATIONS = Path(__file__).parents[1] / "followups" / "sample.jsonl"
# How much less follow-ups may find.
ALLOWED = 0.05


def conversations() -> LibrarySet:
    """The conversations over the sample library."""
    with as_file(files("app").joinpath("sample_library")) as folder:
        return read_library(folder, CONVERSATIONS)


async def served(
    searcher: Searcher, one: LibrarySet, shelf: PassageIndex
) -> dict[str, tuple[float, float]]:
    """Tell of each conversation what its follow-up finds, and what the whole question finds."""
    pairs = {}
    for question in one.questions:
        searched = await searched_question(searcher, question)
        follow_up = await searcher.search(searched, question.creator)
        whole = await searcher.search(question.whole or "", question.creator)
        pairs[question.id] = (
            served_recall(follow_up.sources, question.answers, shelf),
            served_recall(whole.sources, question.answers, shelf),
        )
    return pairs


@pytest.mark.parametrize("embedding_model", ["", "none"])
async def test_a_follow_up_finds_what_the_same_question_asked_whole_finds(
    library_url: str, embedding_model: str
) -> None:
    settings = Settings(database_url=library_url, embedding_model=embedding_model)
    one = conversations()
    async with database(settings) as (pool, state), HTTPClient() as http:
        async with pool.acquire() as connection:
            named = {answer.document for question in one.questions for answer in question.answers}
            shelf = await read_shelf(connection, named)
        searcher = retriever_of(settings, pool, state, embedder_of(settings, http, questions=True))
        with anyio.fail_after(20):
            report = follow_ups_of(await served(searcher, one, shelf))
    assert all(
        any(shelf.passages_with([a])) for question in one.questions for a in question.answers
    )
    assert report
    assert report.questions == len(one.questions)
    assert report.whole_recall_at_5 >= 0.9
    assert report.recall_at_5 >= report.whole_recall_at_5 - ALLOWED, report.missed
