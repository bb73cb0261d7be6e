"""Passages that are written come in; what a search needs of them, brought up to date, goes out."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from app.infra.database import Connection
from app.services.ingest.errors import NotEmbedded, OtherEmbedder
from app.services.ingest.report import Progress
from app.services.ingest.store.embed import drop_index, embed_missing, indexes
from app.services.ingest.store.index import refresh
from app.services.search.calibration import Calibration, calibrate
from app.services.search.embedding import Embedder, EmbeddingFailed

# What part of the passages must have come or gone for the gates to be learned anew.
MUCH = 0.2

# $1 the serving index, null for none
LEARNED = """
SELECT passages, (SELECT count(*) FROM passages) AS now FROM gates
WHERE embedder_id IS NOT DISTINCT FROM $1
ORDER BY id DESC LIMIT 1
"""
FORGET_GATES = "DELETE FROM gates"


class Indexing(Struct, frozen=True):
    """How a database is searched: whether it has pgvector, who embeds, and as settings say."""

    pgvector: bool
    embedder: Embedder | None = None
    alpha: float = 1.0
    per_document: int = 6

    async def check(self, connection: Connection) -> None:
        """Raise OtherEmbedder where the library's embeddings are another's."""
        if self.embedder:
            complete = [one.name for one, done in (await indexes(connection)).values() if done]
            if complete and self.embedder.name not in complete:
                raise OtherEmbedder(complete[-1], self.embedder.name)

    async def update(
        self,
        connection: Connection,
        languages: Iterable[str],
        report: Callable[[Progress], None],
    ) -> None:
        """Count and weigh what changed in these languages, embed it, learn the gates anew.

        Raises NotEmbedded; all else is done then, and the next time goes on with the rest.
        """
        if languages := set(languages):
            report(Progress("words", 0, 1))
            await refresh(connection, languages, pgvector=self.pgvector)
        await self.embed(connection, report)
        await self._drop_others(connection)
        if await self._has_changed(connection):
            await self.calibrate(connection, report)

    async def embed(self, connection: Connection, report: Callable[[Progress], None]) -> None:
        """Embed what has no embedding yet. Raises NotEmbedded."""
        if self.embedder:
            with self._embedding():
                await embed_missing(connection, self.embedder, report)

    async def calibrate(
        self, connection: Connection, report: Callable[[Progress], None]
    ) -> Calibration | None:
        """Learn the gates; None where there is too little to learn from. Raises NotEmbedded."""
        with self._embedding():
            done = await calibrate(
                connection,
                self.embedder,
                pgvector=self.pgvector,
                alpha=self.alpha,
                per_document=self.per_document,
                report=lambda done, total: report(Progress("gate", done, total)),
            )
        if done is None:
            await connection.execute(FORGET_GATES)
        return done

    @contextmanager
    def _embedding(self) -> Iterator[None]:
        try:
            yield
        except EmbeddingFailed as error:
            name = self.embedder.name if self.embedder else ""
            raise NotEmbedded(name, str(error)) from None

    async def _drop_others(self, connection: Connection) -> None:
        # Who still searches with the index of an earlier embedder goes by words alone from now on.
        # A later one's is there to take over: this run may be by the settings of before.
        known = await indexes(connection)
        if self.embedder and (own := known.get(self.embedder.name)):
            for index, _ in known.values():
                if index.id < own[0].id:
                    await drop_index(connection, index)

    async def _has_changed(self, connection: Connection) -> bool:
        known = await indexes(connection)
        index = known.get(self.embedder.name) if self.embedder else None
        learned = await connection.fetchrow(LEARNED, index and index[0].id)
        return learned is None or abs(learned["now"] - learned["passages"]) > (
            MUCH * learned["passages"]
        )
