"""The command `eval`: measure search and answers on questions with known answers."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.request import getproxies_environment

from msgspec.structs import replace

from app.bootstrap.models import build_answerer
from app.bootstrap.search import build_embedder, build_retriever, open_database, open_indexer
from app.cli.embedded_servers import embedded_servers
from app.cli.errors import CommandError
from app.cli.library import opening_library, show_progress
from app.config import Settings
from app.errors import LibraryUnavailable
from app.infra.http.client import HTTPClient
from app.services.evaluation.asking import Asker
from app.services.evaluation.errors import EvaluationError
from app.services.evaluation.library import AskableLibrary
from app.services.evaluation.output import Report, as_json, as_table
from app.services.evaluation.run import evaluate, evaluate_ingested
from app.services.evaluation.scratch_library import EmptyLibrary
from app.services.metrics.registry import Metrics
from app.services.search.embedding import EmbedderMissing
from app.services.search.retriever import PostgresRetriever

# Seconds for an embedding or a search. After a shorter time a service searches by words only, or
# fails, which would measure the machine instead of the search.
PATIENCE = 60.0


async def run_evaluation(
    settings: Settings,
    folders: Sequence[Path],
    *,
    split: str | None,
    within: str | None,
    questions: Sequence[Path],
    negatives: Sequence[Path],
    json: bool,
) -> int:
    """Measure each dataset, or the ingested library, and print the reports as tables or JSON.

    Raises CommandError.
    """
    async with embedded_servers(settings, memory=False) as complete:
        try:
            reports: Sequence[Report]
            if folders:
                with show_progress() as progress:
                    reports = await evaluate(
                        complete.database_url,
                        folders,
                        open_library=partial(open_empty_library, complete),
                        split=split,
                        within=within,
                        questions=questions,
                        negatives=negatives,
                        log_step=_log_step,
                        report=progress,
                    )
            else:
                async with open_ingested_library(complete) as library:
                    reports = [
                        await evaluate_ingested(
                            library, questions=questions, negatives=negatives, log_step=_log_step
                        )
                    ]
        except (EvaluationError, EmbedderMissing, LibraryUnavailable) as error:
            raise CommandError(str(error)) from None
    print(as_json(reports) if json else as_table(reports))
    return 0


def _log_step(step: str) -> None:
    print(step, file=sys.stderr, flush=True)


@asynccontextmanager
async def open_empty_library(settings: Settings, database_url: str) -> AsyncIterator[EmptyLibrary]:
    """Open an empty database that is indexed, searched and asked as configured."""
    patient = _patient(replace(settings, database_url=database_url))
    async with (
        open_database(patient) as (pool, state),
        pool.acquire() as connection,
        HTTPClient(getproxies_environment()) as http,
        open_indexer(patient, state) as indexer,
    ):
        embedder = build_embedder(patient, http, questions=True)
        retriever = build_retriever(patient, pool, state, embedder)
        asker = _build_asker(patient, http, retriever)
        yield EmptyLibrary(connection, indexer, retriever, asker)


@asynccontextmanager
async def open_ingested_library(settings: Settings) -> AsyncIterator[AskableLibrary]:
    """Open the ingested library, searched and asked as configured. Raises CommandError."""
    patient = _patient(settings)
    async with AsyncExitStack() as stack:
        with opening_library():
            pool, state = await stack.enter_async_context(open_database(patient))
            connection = await stack.enter_async_context(pool.acquire())
            http = await stack.enter_async_context(HTTPClient(getproxies_environment()))
            embedder = build_embedder(patient, http, questions=True)
        retriever = build_retriever(patient, pool, state, embedder)
        yield AskableLibrary(connection, _build_asker(patient, http, retriever))


def _patient(settings: Settings) -> Settings:
    """Allow enough time and connections for a busy machine to find what an idle one does."""
    return replace(
        settings,
        # One for the evaluation itself, and at least one to search.
        database_pool=max(2, settings.database_pool),
        database_timeout=max(PATIENCE, settings.database_timeout),
        embedding_timeout=max(PATIENCE, settings.embedding_timeout),
    )


def _build_asker(settings: Settings, http: HTTPClient, retriever: PostgresRetriever) -> Asker:
    return Asker(retriever, partial(build_answerer, settings, http, Metrics()))
