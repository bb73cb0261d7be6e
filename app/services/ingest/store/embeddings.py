"""Embed passages, and build the index of their embeddings.

Every batch is committed, so an interrupted run continues where it stopped. Searches use an index
once it is complete, and until then the previous one.
"""

from collections.abc import Sequence

import asyncpg
import msgspec

from app.infra.database import Connection
from app.schemas import Sentence
from app.services.ingest.progress import Progress, ProgressCallback
from app.services.ingest.store.documents import STATEMENT_TIMEOUT, searchable_text
from app.services.search.embedding import Embedder, EmbeddingFailed
from app.services.search.sql import EmbeddingIndex

# The number of passages that are embedded and written together: 1.5 s of two cores with the default
# embedder, and as many as the client of an embedding server sends at once.
BATCH = 256
# Comparing fewer passages one by one is as fast as an HNSW index, and exact.
MIN_PASSAGES_FOR_HNSW = 10_000
# pgvector's limit for an HNSW index on half vectors. Longer ones are compared one by one.
MAX_HNSW_DIMENSION = 4_000
# Bytes of memory that the server may use to build the index.
MAX_HNSW_MEMORY = 2**30

EMBEDDERS = "SELECT id, name, dimension, complete FROM embedders ORDER BY id"
# $1 name · $2 dimension
INSERT_EMBEDDER = "INSERT INTO embedders (name, dimension) VALUES ($1, $2) RETURNING id"
# $1 id
MARK_COMPLETE = "UPDATE embedders SET complete = true WHERE id = $1"
DELETE_EMBEDDER = "DELETE FROM embedders WHERE id = $1"

CREATE_TABLE = """
CREATE TABLE {table} (
    passage_id bigint PRIMARY KEY REFERENCES passages ON DELETE CASCADE,
    creator_id bigint NOT NULL,
    topic_id   bigint,
    embedding  halfvec({dimension}) NOT NULL
);
CREATE INDEX ON {table} (creator_id);
CREATE INDEX ON {table} (topic_id);
"""

# $1 id of the last passage of the batch before · $2 limit
NEXT_MISSING = """
SELECT p.id, d.title, x.heading, x.sentences::text
FROM passages p
JOIN passage_texts x ON x.passage_id = p.id
JOIN documents d ON d.id = p.document_id
WHERE p.id > $1 AND NOT EXISTS (SELECT FROM {table} e WHERE e.passage_id = p.id)
ORDER BY p.id
LIMIT $2
"""
COUNT_MISSING = """
SELECT count(*) FROM passages p
WHERE NOT EXISTS (SELECT FROM {table} e WHERE e.passage_id = p.id)
"""

# $1 passages · $2 their embeddings as text; passages deleted in the meantime are left out
INSERT_EMBEDDINGS = """
INSERT INTO {table} (passage_id, creator_id, topic_id, embedding)
SELECT p.id, p.creator_id, p.topic_id, given.embedding::halfvec({dimension})
FROM unnest($1::bigint[], $2::text[]) AS given (id, embedding)
JOIN passages p USING (id)
ON CONFLICT DO NOTHING
"""

HAS_HNSW = """
SELECT count(*) > 0 FROM pg_indexes WHERE tablename = $1 AND indexdef LIKE '% USING hnsw %'
"""


async def embedding_indexes(connection: Connection) -> dict[str, tuple[EmbeddingIndex, bool]]:
    """Return each embedder's index and whether it is complete, by the embedder's name."""
    return {
        row["name"]: (EmbeddingIndex(row["id"], row["name"], row["dimension"]), row["complete"])
        for row in await connection.fetch(EMBEDDERS)
    }


async def embed_missing(
    connection: Connection, embedder: Embedder, on_progress: ProgressCallback
) -> EmbeddingIndex:
    """Embed the passages that this embedder has not embedded yet, and complete its index.

    Raises EmbeddingFailed; the batches written before stay.
    """
    try:
        index = await _get_or_create_index(connection, embedder)
    except EmbeddingFailed:
        known, complete = (await embedding_indexes(connection)).get(embedder.name, (None, False))
        if known and complete and not await _count_missing(connection, known):
            # An unavailable embedder does not matter if there is nothing to embed.
            return known
        raise
    total = await _count_missing(connection, index)
    done = last = 0
    while rows := await connection.fetch(
        _sql(NEXT_MISSING, index), last, BATCH, timeout=STATEMENT_TIMEOUT
    ):
        on_progress(Progress("embeddings", done, total))
        vectors = await embedder.embed_passages(
            [_embedded_text(row["title"], row["heading"], row["sentences"]) for row in rows]
        )
        await connection.execute(
            _sql(INSERT_EMBEDDINGS, index),
            [row["id"] for row in rows],
            # pgvector's text format is also JSON; arrays of numbers would take longer.
            [msgspec.json.encode(vector).decode() for vector in vectors],
            timeout=STATEMENT_TIMEOUT,
        )
        done, last = done + len(rows), rows[-1]["id"]
    if total:
        on_progress(Progress("embeddings", done, total))
        await _complete_index(connection, index)
    await connection.execute(MARK_COMPLETE, index.id)
    return index


async def _count_missing(connection: Connection, index: EmbeddingIndex) -> int:
    missing: int = await connection.fetchval(_sql(COUNT_MISSING, index), timeout=STATEMENT_TIMEOUT)
    return missing


async def drop_index(connection: Connection, index: EmbeddingIndex) -> None:
    """Delete an embedder and its embeddings."""
    async with connection.transaction():
        await connection.execute(f"DROP TABLE IF EXISTS {index.table}")
        await connection.execute(DELETE_EMBEDDER, index.id)


async def _get_or_create_index(connection: Connection, embedder: Embedder) -> EmbeddingIndex:
    """Return the embedder's index; create it if there is none or its dimension differs."""
    known = (await embedding_indexes(connection)).get(embedder.name)
    dimension = embedder.dimension or len((await embedder.embed_passages(["dimension"]))[0])
    if known is not None:
        if known[0].dimension == dimension:
            return known[0]
        await drop_index(connection, known[0])
    async with connection.transaction():
        embedder_id: int = await connection.fetchval(INSERT_EMBEDDER, embedder.name, dimension)
        index = EmbeddingIndex(embedder_id, embedder.name, dimension)
        await connection.execute(_sql(CREATE_TABLE, index))
    return index


async def _complete_index(connection: Connection, index: EmbeddingIndex) -> None:
    """Build an HNSW index if there are enough passages, and update the planner's statistics."""
    rows: int = await connection.fetchval(f"SELECT count(*) FROM {index.table}")  # noqa: S608
    if (
        rows > MIN_PASSAGES_FOR_HNSW
        and index.dimension <= MAX_HNSW_DIMENSION
        and not await connection.fetchval(HAS_HNSW, index.table)
    ):
        try:
            await _build_hnsw(connection, index, rows)
        except asyncpg.DiskFullError:
            # Parallel builds need shared memory, of which a container has only 64 MB by default.
            await _build_hnsw(connection, index, rows, workers=0)
    await connection.execute(f"ANALYZE {index.table}", timeout=STATEMENT_TIMEOUT)


async def _build_hnsw(
    connection: Connection, index: EmbeddingIndex, rows: int, workers: int = 2
) -> None:
    # Building takes many times longer if the index does not fit in memory.
    memory = min(MAX_HNSW_MEMORY, 2**26 + rows * (2 * index.dimension + 500))
    async with connection.transaction():
        await connection.execute(f"SET LOCAL max_parallel_maintenance_workers = {workers}")
        await connection.execute(f"SET LOCAL maintenance_work_mem = '{memory // 1024}kB'")
        await connection.execute(
            f"CREATE INDEX ON {index.table} USING hnsw (embedding halfvec_ip_ops)",
            timeout=STATEMENT_TIMEOUT,
        )


def _embedded_text(title: str, heading: str, sentences: str) -> str:
    text = searchable_text(msgspec.json.decode(sentences, type=Sequence[Sentence]))
    return "\n".join(filter(None, (title, heading, text)))


def _sql(statement: str, index: EmbeddingIndex) -> str:
    return statement.format(table=index.table, dimension=index.dimension)
