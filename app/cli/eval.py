"""The command `eval`: measure search quality on questions with known answers."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.request import getproxies_environment

from msgspec.structs import replace

from app.bootstrap import build_embedder, build_retriever, open_database, open_indexer
from app.cli.embedded_servers import embedded_servers
from app.cli.errors import CommandError
from app.cli.library import show_progress
from app.config import Settings
from app.infra.http.client import HTTPClient
from app.services.evaluation.errors import EvaluationError
from app.services.evaluation.output import as_json, as_table
from app.services.evaluation.run import evaluate
from app.services.evaluation.scratch_library import EmptyLibrary
from app.services.search.embedding import EmbedderMissing


async def run_evaluation(
    settings: Settings,
    folders: Sequence[Path],
    *,
    split: str | None,
    within: str | None,
    questions: Path | None,
    off_topic: Path | None,
    json: bool,
) -> int:
    """Measure each dataset and print the reports, as a table or JSON. Raises CommandError."""
    async with embedded_servers(settings, memory=False) as complete:
        try:
            with show_progress() as progress:
                reports = await evaluate(
                    complete.database_url,
                    folders,
                    open_library=partial(open_empty_library, complete),
                    split=split,
                    within=within,
                    questions=questions,
                    off_topic=off_topic,
                    log_step=lambda step: print(step, file=sys.stderr, flush=True),
                    report=progress,
                )
        except (EvaluationError, EmbedderMissing) as error:
            raise CommandError(str(error)) from None
    print(as_json(reports) if json else as_table(reports))
    return 0


@asynccontextmanager
async def open_empty_library(settings: Settings, database_url: str) -> AsyncIterator[EmptyLibrary]:
    """Open an empty database that is indexed and searched as configured."""
    # One connection to write with, and at least one to search.
    size = max(2, settings.database_pool)
    scratch = replace(settings, database_url=database_url, database_pool=size)
    async with (
        open_database(scratch) as (pool, state),
        pool.acquire() as connection,
        HTTPClient(getproxies_environment()) as http,
        open_indexer(settings, state) as indexer,
    ):
        embedder = build_embedder(settings, http, questions=True)
        yield EmptyLibrary(connection, indexer, build_retriever(settings, pool, state, embedder))
