"""On the sample library, follow-ups find what the same questions find standalone."""

from pathlib import Path

import anyio
import pytest

from app.cli.eval import open_ingested_library
from app.config import Settings
from app.services.evaluation.run import evaluate_ingested

pytestmark = pytest.mark.anyio

CONVERSATIONS = Path(__file__).parents[1] / "followups" / "sample.jsonl"
# The recall that follow-ups may lose.
ALLOWED = 0.05


@pytest.mark.parametrize("embedding_model", ["", "none"])
async def test_follow_ups_find_what_the_standalone_questions_find(
    library_url: str, embedding_model: str
) -> None:
    settings = Settings(database_url=library_url, embedding_model=embedding_model)
    async with open_ingested_library(settings) as library:
        with anyio.fail_after(20):
            measured = await evaluate_ingested(library, questions=[CONVERSATIONS])
    report = measured.follow_ups
    assert measured.skipped == ()
    assert report
    assert report.questions == measured.questions
    assert report.whole_recall_at_5 >= 0.9
    assert report.recall_at_5 >= report.whole_recall_at_5 - ALLOWED, report.missed
