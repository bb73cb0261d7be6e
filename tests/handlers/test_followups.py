"""On the sample library, follow-ups find what the same questions find standalone."""

from importlib.resources import as_file, files
from pathlib import Path

import anyio
import pytest

from app.bootstrap import build_embedder, build_retriever, open_database
from app.config import Settings
from app.infra.http.client import HTTPClient
from app.services.evaluation.conversations import standalone_query
from app.services.evaluation.measure import served_recall
from app.services.evaluation.passages import PassageIndex, read_passage_index
from app.services.evaluation.questions import LibraryDataset, read_library
from app.services.evaluation.report import summarize_follow_ups
from app.services.evaluation.searcher import Searcher

pytestmark = pytest.mark.anyio

CONVERSATIONS = Path(__file__).parents[1] / "followups" / "sample.jsonl"
# The recall that follow-ups may lose.
ALLOWED = 0.05


def conversations() -> LibraryDataset:
    """Return the conversations about the sample library."""
    with as_file(files("app").joinpath("sample_library")) as folder:
        return read_library(folder, CONVERSATIONS)


async def served(
    searcher: Searcher, dataset: LibraryDataset, index: PassageIndex
) -> dict[str, tuple[float, float]]:
    """Return the served recall of each follow-up, and of the standalone question."""
    recall = {}
    for question in dataset.questions:
        query = await standalone_query(searcher, question)
        follow_up = await searcher.search(query, question.creator)
        whole = await searcher.search(question.whole or "", question.creator)
        recall[question.id] = (
            served_recall(follow_up.sources, question.answers, index),
            served_recall(whole.sources, question.answers, index),
        )
    return recall


@pytest.mark.parametrize("embedding_model", ["", "none"])
async def test_follow_ups_find_what_the_standalone_questions_find(
    library_url: str, embedding_model: str
) -> None:
    settings = Settings(database_url=library_url, embedding_model=embedding_model)
    dataset = conversations()
    async with open_database(settings) as (pool, state), HTTPClient() as http:
        async with pool.acquire() as connection:
            named = {
                answer.document for question in dataset.questions for answer in question.answers
            }
            index = await read_passage_index(connection, named)
        embedder = build_embedder(settings, http, questions=True)
        searcher = build_retriever(settings, pool, state, embedder)
        with anyio.fail_after(20):
            report = summarize_follow_ups(await served(searcher, dataset, index))
    assert all(
        any(index.passages_with([a])) for question in dataset.questions for a in question.answers
    )
    assert report
    assert report.questions == len(dataset.questions)
    assert report.whole_recall_at_5 >= 0.9
    assert report.recall_at_5 >= report.whole_recall_at_5 - ALLOWED, report.missed
