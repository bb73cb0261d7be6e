"""A set comes in; a scratch database that holds it, indexed and calibrated, goes out to search."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from time import perf_counter
from urllib.request import getproxies_environment

import asyncpg
from msgspec import Struct
from msgspec.structs import replace

from app.config import Settings
from app.infra.database import Connection
from app.infra.http.client import HTTPClient
from app.library import database, embedder_of, retriever_of
from app.library import indexing as indexing_of
from app.schemas import Sentence
from app.services.evaluation.beir import Entry, JudgedSet
from app.services.evaluation.datasets import EvaluationSet
from app.services.evaluation.jsonl import EvaluationError
from app.services.evaluation.scratch_database import scratch_database
from app.services.evaluation.searcher import Searcher
from app.services.ingest.parse.chunk import Passage
from app.services.ingest.parse.cues import Cue, count_words
from app.services.ingest.parse.documents import Document
from app.services.ingest.parse.sentences import sections
from app.services.ingest.report import Progress
from app.services.ingest.run import ingest
from app.services.ingest.store import write

COUNT = "SELECT count(*) FROM passages"
# Who made what is not asked within any group.
NOBODY = "nobody"


class FilledLibrary(Struct, frozen=True):
    """A library of one set; `creators` has the slug that stands for a group of its entries."""

    connection: Connection
    searcher: Searcher
    creators: dict[str, str]
    passages: int
    ingestion_seconds: float
    calibration_seconds: float


class _Stopwatch:
    """Passes progress on, and keeps when the gates began to be learned."""

    def __init__(self, report: Callable[[Progress], None]) -> None:
        self._report = report
        self._began = perf_counter()
        self._gates: float | None = None

    def __call__(self, progress: Progress) -> None:
        if progress.stage == "gate" and self._gates is None:
            self._gates = perf_counter()
        self._report(progress)

    def stop(self) -> tuple[float, float]:
        """Return the seconds until then, and those since."""
        ended = perf_counter()
        gates = ended if self._gates is None else self._gates
        return gates - self._began, ended - gates


@asynccontextmanager
async def filled_library(
    settings: Settings, one: EvaluationSet, language: str, report: Callable[[Progress], None]
) -> AsyncIterator[FilledLibrary]:
    """Write a set into a database of its own on the server that the settings name.

    Raises EvaluationError, and IngestError where the library or its index cannot be made.
    """
    # One connection to write and read with, at least another to search.
    size = max(2, settings.database_pool)
    async with (
        scratch_database(settings.database_url) as url,
        database(replace(settings, database_url=url, database_pool=size)) as (pool, state),
        pool.acquire() as connection,
        HTTPClient(getproxies_environment()) as http,
        indexing_of(settings, state) as indexing,
    ):
        creators = creators_of(one)
        stopwatch = _Stopwatch(report)
        if isinstance(one, JudgedSet):
            changed = await _write(connection, one, language, creators, pgvector=indexing.pgvector)
            await indexing.update(connection, changed, stopwatch)
        else:
            await ingest(connection, one.folder, indexing=indexing, report=stopwatch)
        ingestion, calibration = stopwatch.stop()
        yield FilledLibrary(
            connection=connection,
            searcher=retriever_of(
                settings, pool, state, embedder_of(settings, http, questions=True)
            ),
            creators=creators,
            passages=await connection.fetchval(COUNT),
            ingestion_seconds=ingestion,
            calibration_seconds=calibration,
        )


def creators_of(one: EvaluationSet) -> dict[str, str]:
    """Give each group of a judged set a creator's slug: what is asked within it is asked of them.

    The slugs say nothing, so that no question finds a group by its name.
    """
    groups = sorted(set(one.groups.values())) if isinstance(one, JudgedSet) else []
    return {group: f"group-{number}" for number, group in enumerate(groups, 1)}


async def _write(
    connection: Connection,
    one: JudgedSet,
    language: str,
    creators: Mapping[str, str],
    *,
    pgvector: bool,
) -> set[str]:
    """Write a judged set; returns the text search configurations of its passages."""
    # Each entry is a transaction of its own, and none of them need survive a power cut.
    await connection.execute("SET synchronous_commit = off")
    library = await write.keep_library(connection, one.name, one.name)
    available = await write.configurations(connection)
    changed: set[str] = set()
    for document in documents(one, language, creators):
        try:
            changed |= await write.replace_document(
                connection, library, document, document.creator, available, pgvector=pgvector
            )
        except (asyncpg.DataError, asyncpg.ProgramLimitExceededError) as error:
            raise EvaluationError(
                f"{one.name}: the database does not take {document.key!r}: {error}"
            ) from None
    return changed


def documents(one: JudgedSet, language: str, creators: Mapping[str, str]) -> Iterator[Document]:
    """Make a document of each entry that has words: one passage, never cut; its id is the key."""
    for entry in one.entries:
        sentences = _sentences(entry)
        if sentences:
            group = one.groups.get(str(entry.id))
            yield Document(
                key=str(entry.id),
                creator=creators[group] if group is not None else NOBODY,
                kind="page",
                title=entry.title or "",
                topic=None,
                url=None,
                language=language,
                speakers=(),
                published=None,
                words=count_words(entry.text),
                passages=(Passage(0, "", 0, sentences),),
                content_hash=b"",
            )


def _sentences(entry: Entry) -> tuple[Sentence, ...]:
    cue = Cue(entry.text if entry.text.strip() else entry.title or "")
    return sections([cue])[0].sentences
