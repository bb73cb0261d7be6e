"""A temporary library that holds one dataset, indexed and calibrated."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import perf_counter
from typing import TypeAlias

import asyncpg
from msgspec import Struct

from app.infra.database import Connection
from app.schemas import Sentence
from app.services.evaluation.asking import Asker
from app.services.evaluation.beir import BeirDataset, CorpusEntry
from app.services.evaluation.datasets import Dataset
from app.services.evaluation.errors import EvaluationError
from app.services.evaluation.library import COUNT_PASSAGES
from app.services.evaluation.report import Ingestion
from app.services.evaluation.scratch_database import scratch_database
from app.services.evaluation.searcher import Searcher
from app.services.ingest.parse.chunk import Passage
from app.services.ingest.parse.cues import Cue
from app.services.ingest.parse.document import Document
from app.services.ingest.parse.sentences import build_sections
from app.services.ingest.parse.words import count_words
from app.services.ingest.progress import Progress
from app.services.ingest.run import ingest
from app.services.ingest.store.documents import replace_document, text_search_configurations
from app.services.ingest.store.indexer import Indexer
from app.services.ingest.store.libraries import save_library

# The creator of entries without a group.
NO_GROUP = "nobody"


class EmptyLibrary(Struct, frozen=True):
    """An empty library: a connection to write to it, its indexer, its searcher and an asker."""

    connection: Connection
    indexer: Indexer
    searcher: Searcher
    asker: Asker


# Opens the empty database at a URL, creating its tables.
OpenLibrary: TypeAlias = Callable[[str], AbstractAsyncContextManager[EmptyLibrary]]


class ScratchLibrary(Struct, frozen=True):
    """The library of a dataset; `creators` maps the groups of its entries to creators' slugs."""

    connection: Connection
    indexer: Indexer
    searcher: Searcher
    asker: Asker
    creators: dict[str, str]
    passages: int
    ingestion_seconds: float
    calibration_seconds: float

    @property
    def ingestion(self) -> Ingestion:
        """The times for the report."""
        return Ingestion(
            seconds=self.ingestion_seconds,
            passages_per_second=self.passages / self.ingestion_seconds,
            calibration_seconds=self.calibration_seconds,
        )


class _Stopwatch:
    """Forwards progress, and measures the time before and after the calibration starts."""

    def __init__(self, report: Callable[[Progress], None]) -> None:
        self._report = report
        self._started_at = perf_counter()
        self._calibration_at: float | None = None

    def __call__(self, progress: Progress) -> None:
        if progress.stage == "calibration" and self._calibration_at is None:
            self._calibration_at = perf_counter()
        self._report(progress)

    def stop(self) -> tuple[float, float]:
        """Return the seconds of the ingestion and of the calibration."""
        ended_at = perf_counter()
        calibration_at = ended_at if self._calibration_at is None else self._calibration_at
        return calibration_at - self._started_at, ended_at - calibration_at


@asynccontextmanager
async def scratch_library(
    database_url: str,
    open_library: OpenLibrary,
    dataset: Dataset,
    language: str,
    report: Callable[[Progress], None],
) -> AsyncIterator[ScratchLibrary]:
    """Write a dataset to a scratch database on the server of `database_url`.

    Raises EvaluationError, and IngestError if the library or its index cannot be created.
    """
    async with scratch_database(database_url) as url, open_library(url) as library:
        connection, indexer = library.connection, library.indexer
        creators = group_creators(dataset)
        stopwatch = _Stopwatch(report)
        if isinstance(dataset, BeirDataset):
            changed = await _write(
                connection, dataset, language, creators, pgvector=indexer.pgvector
            )
            await indexer.update(connection, changed, stopwatch)
        elif dataset.folder is not None:
            await ingest(connection, dataset.folder, indexer=indexer, on_progress=stopwatch)
        ingestion, calibration = stopwatch.stop()
        yield ScratchLibrary(
            connection=connection,
            indexer=indexer,
            searcher=library.searcher,
            asker=library.asker,
            creators=creators,
            passages=await connection.fetchval(COUNT_PASSAGES),
            ingestion_seconds=ingestion,
            calibration_seconds=calibration,
        )


def group_creators(dataset: Dataset) -> dict[str, str]:
    """Map each group of a BEIR dataset to a creator's slug, so a query can be limited to it.

    The slugs are meaningless, so that no query matches a group by name.
    """
    groups = sorted(set(dataset.groups.values())) if isinstance(dataset, BeirDataset) else []
    return {group: f"group-{number}" for number, group in enumerate(groups, 1)}


async def _write(
    connection: Connection,
    dataset: BeirDataset,
    language: str,
    creators: Mapping[str, str],
    *,
    pgvector: bool,
) -> set[str]:
    """Write a dataset; return the text search configurations of its passages."""
    # Each entry is a transaction, and none needs to survive a crash of the server.
    await connection.execute("SET synchronous_commit = off")
    library = await save_library(connection, dataset.name, dataset.name)
    available = await text_search_configurations(connection)
    changed: set[str] = set()
    for document in documents(dataset, language, creators):
        try:
            changed |= await replace_document(
                connection, library, document, document.creator, available, pgvector=pgvector
            )
        except (asyncpg.DataError, asyncpg.ProgramLimitExceededError) as error:
            raise EvaluationError(
                f"{dataset.name}: the database rejected entry {document.key!r}: {error}"
            ) from None
    return changed


def documents(
    dataset: BeirDataset, language: str, creators: Mapping[str, str]
) -> Iterator[Document]:
    """Yield a document with a single passage for each entry that has text; its key is the id."""
    for entry in dataset.entries:
        sentences = _sentences(entry)
        if sentences:
            group = dataset.groups.get(str(entry.id))
            yield Document(
                key=str(entry.id),
                creator=creators[group] if group is not None else NO_GROUP,
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


def _sentences(entry: CorpusEntry) -> tuple[Sentence, ...]:
    cue = Cue(entry.text if entry.text.strip() else entry.title or "")
    return build_sections([cue])[0].sentences
