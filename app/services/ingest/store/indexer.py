"""Update what searches need: word statistics, embeddings and the answerability classifiers."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from msgspec import Struct
from msgspec.structs import replace

from app.infra.database import Connection
from app.services.ingest.errors import EmbedderMismatch, NotEmbedded
from app.services.ingest.progress import Progress, ProgressCallback
from app.services.ingest.store.embeddings import drop_index, embed_missing, embedding_indexes
from app.services.ingest.store.term_statistics import refresh_statistics
from app.services.search.calibration import Calibration, calibrate, is_current
from app.services.search.embedding import Embedder, EmbeddingFailed
from app.services.search.embedding.local import RETIRED_NAMES

# Relative change of the number of passages after which the classifiers are fitted again.
MAX_UNCALIBRATED = 0.2

# $1 the index in use, null for none
LAST_CALIBRATION = """
SELECT passages AS calibrated, (SELECT count(*) FROM passages) AS current, model::text FROM gates
WHERE embedder_id IS NOT DISTINCT FROM $1
ORDER BY id DESC LIMIT 1
"""
DELETE_CLASSIFIERS = "DELETE FROM gates"


class Indexer(Struct, frozen=True):
    """Makes a database's passages searchable.

    `alpha` and `per_document` are the settings that searches use.
    """

    pgvector: bool
    embedder: Embedder | None = None
    alpha: float = 1.0
    per_document: int = 6

    async def for_library(self, connection: Connection) -> "Indexer":
        """Return the indexer to ingest into this library with.

        It does not embed if the library has embeddings of a retired embedder only: embedding all of
        it takes minutes, so `reindex` does that. Raises EmbedderMismatch if the library is embedded
        with another embedder.
        """
        if not self.embedder:
            return self
        indexes = (await embedding_indexes(connection)).values()
        complete = [index.name for index, is_complete in indexes if is_complete]
        if not complete or self.embedder.name in complete:
            return self
        if complete[-1] not in RETIRED_NAMES:
            raise EmbedderMismatch(complete[-1], self.embedder.name)
        return replace(self, embedder=None)

    async def drop_retired_indexes(self, connection: Connection) -> None:
        """Delete embeddings that no embedder of this release can search."""
        for index, _ in (await embedding_indexes(connection)).values():
            if index.name in RETIRED_NAMES:
                await drop_index(connection, index)

    async def update(
        self, connection: Connection, languages: Iterable[str], on_progress: ProgressCallback
    ) -> None:
        """Refresh the statistics of these languages, embed new passages, calibrate if needed.

        `languages` are text search configurations. Raises NotEmbedded if the embedder fails; the
        next update continues from there.
        """
        if languages := set(languages):
            on_progress(Progress("words", 0, 1))
            await refresh_statistics(connection, languages, pgvector=self.pgvector)
        await self.embed(connection, on_progress)
        await self._drop_older_indexes(connection)
        if await self._needs_calibration(connection):
            await self.calibrate(connection, on_progress)

    async def embed(self, connection: Connection, on_progress: ProgressCallback) -> None:
        """Embed the passages that are not embedded yet. Raises NotEmbedded."""
        if self.embedder:
            with self._embedding():
                await embed_missing(connection, self.embedder, on_progress)

    async def calibrate(
        self, connection: Connection, on_progress: ProgressCallback
    ) -> Calibration | None:
        """Fit the answerability classifiers to the library. Raises NotEmbedded.

        If the library is too small, they are deleted and None is returned.
        """
        with self._embedding():
            calibration = await calibrate(
                connection,
                self.embedder,
                pgvector=self.pgvector,
                alpha=self.alpha,
                per_document=self.per_document,
                report=lambda done, total: on_progress(Progress("calibration", done, total)),
            )
        if calibration is None:
            await connection.execute(DELETE_CLASSIFIERS)
        return calibration

    @contextmanager
    def _embedding(self) -> Iterator[None]:
        try:
            yield
        except EmbeddingFailed as error:
            name = self.embedder.name if self.embedder else ""
            raise NotEmbedded(name, str(error)) from None

    async def _drop_older_indexes(self, connection: Connection) -> None:
        # A service that still uses an older index falls back to lexical search. A newer index
        # belongs to a reindex with settings that are about to replace these.
        indexes = await embedding_indexes(connection)
        if self.embedder and self.embedder.name in indexes:
            current, _ = indexes[self.embedder.name]
            for index, _ in indexes.values():
                if index.id < current.id:
                    await drop_index(connection, index)

    async def _needs_calibration(self, connection: Connection) -> bool:
        indexes = await embedding_indexes(connection)
        index = indexes.get(self.embedder.name) if self.embedder else None
        last = await connection.fetchrow(LAST_CALIBRATION, index and index[0].id)
        return (
            last is None
            or not is_current(last["model"])
            or (abs(last["current"] - last["calibrated"]) > MAX_UNCALIBRATED * last["calibrated"])
        )
