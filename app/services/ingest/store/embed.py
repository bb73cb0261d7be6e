"""Passages without an embedding come in; an index of embeddings that can serve goes out.

What is done is kept batch by batch, so a run that was cut off goes on where it stood. An index
serves once it is complete; until then the one before it does.
"""

from collections.abc import Callable, Sequence

import asyncpg
import msgspec

from app.infra.database import Connection
from app.schemas import Sentence
from app.services.ingest.report import Progress
from app.services.ingest.store.write import STATEMENT_LIMIT, searched
from app.services.search.embedding import Embedder, EmbeddingFailed
from app.services.search.sql import EmbeddingIndex

# Passages that are embedded at once, and then kept.
BATCH = 512
# With fewer passages comparing all of them is as fast as an index, and exact.
WORTH_HNSW = 10_000
# What such an index can hold; with more dimensions all are compared, however many there are.
MAX_DIMENSIONS = 4_000
# What building that index may take of the server's memory, and a passage's part in it, in bytes.
MAX_MEMORY = 2**30

INDEXES = "SELECT id, name, dimension, complete FROM embedders ORDER BY id"
# $1 name · $2 dimension
ADD_EMBEDDER = "INSERT INTO embedders (name, dimension) VALUES ($1, $2) RETURNING id"
# $1 id
COMPLETE = "UPDATE embedders SET complete = true WHERE id = $1"
DROP_EMBEDDER = "DELETE FROM embedders WHERE id = $1"

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

# $1 the last passage looked at · $2 how many; in the order of their ids
MISSING = """
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

# $1 passages · $2 their embeddings, one after the other; a passage that is gone by now is let go
KEEP = """
INSERT INTO {table} (passage_id, creator_id, topic_id, embedding)
SELECT p.id, p.creator_id, p.topic_id,
       ($2::real[])[(n - 1) * {dimension} + 1 : n * {dimension}]::halfvec({dimension})
FROM unnest($1::bigint[]) WITH ORDINALITY AS given (id, n)
JOIN passages p USING (id)
ON CONFLICT DO NOTHING
"""

HAS_HNSW = """
SELECT count(*) > 0 FROM pg_indexes WHERE tablename = $1 AND indexdef LIKE '% USING hnsw %'
"""


async def indexes(connection: Connection) -> dict[str, tuple[EmbeddingIndex, bool]]:
    """Return each embedder's index by its name, and whether it is complete."""
    return {
        row["name"]: (EmbeddingIndex(row["id"], row["name"], row["dimension"]), row["complete"])
        for row in await connection.fetch(INDEXES)
    }


async def embed_missing(
    connection: Connection, embedder: Embedder, report: Callable[[Progress], None]
) -> EmbeddingIndex:
    """Embed what has no embedding of this embedder yet; its index then serves.

    Raises EmbeddingFailed; what was embedded until then stays.
    """
    try:
        index = await _index_of(connection, embedder)
    except EmbeddingFailed:
        known, complete = (await indexes(connection)).get(embedder.name, (None, False))
        if known and complete and not await _missing(connection, known):
            # It is away, and nothing is asked of it.
            return known
        raise
    total = await _missing(connection, index)
    done = last = 0
    while rows := await connection.fetch(
        _for(index, MISSING), last, BATCH, timeout=STATEMENT_LIMIT
    ):
        report(Progress("embeddings", done, total))
        vectors = await embedder(
            [_text(row["title"], row["heading"], row["sentences"]) for row in rows]
        )
        await connection.execute(
            _for(index, KEEP),
            [row["id"] for row in rows],
            [number for vector in vectors for number in vector],
            timeout=STATEMENT_LIMIT,
        )
        done, last = done + len(rows), rows[-1]["id"]
    if total:
        report(Progress("embeddings", done, total))
        await _finish(connection, index)
    await connection.execute(COMPLETE, index.id)
    return index


async def _missing(connection: Connection, index: EmbeddingIndex) -> int:
    missing: int = await connection.fetchval(_for(index, COUNT_MISSING), timeout=STATEMENT_LIMIT)
    return missing


async def drop_index(connection: Connection, index: EmbeddingIndex) -> None:
    """Remove an embedder with its embeddings."""
    async with connection.transaction():
        await connection.execute(f"DROP TABLE IF EXISTS {index.table}")
        await connection.execute(DROP_EMBEDDER, index.id)


async def _index_of(connection: Connection, embedder: Embedder) -> EmbeddingIndex:
    """Return the embedder's index, made where there is none, or where its vectors were others."""
    known = (await indexes(connection)).get(embedder.name)
    dimension = len((await embedder(["dimension"]))[0])
    if known is not None:
        if known[0].dimension == dimension:
            return known[0]
        await drop_index(connection, known[0])
    async with connection.transaction():
        number: int = await connection.fetchval(ADD_EMBEDDER, embedder.name, dimension)
        index = EmbeddingIndex(number, embedder.name, dimension)
        await connection.execute(_for(index, CREATE_TABLE))
    return index


async def _finish(connection: Connection, index: EmbeddingIndex) -> None:
    """Build the index for nearest neighbours where there is much, and count what there is."""
    rows: int = await connection.fetchval(f"SELECT count(*) FROM {index.table}")  # noqa: S608
    if (
        rows > WORTH_HNSW
        and index.dimension <= MAX_DIMENSIONS
        and not await connection.fetchval(HAS_HNSW, index.table)
    ):
        try:
            await _build(connection, index, rows)
        except asyncpg.DiskFullError:
            # Several processes build it in shared memory, of which containers have little (64 MB).
            await _build(connection, index, rows, workers=0)
    await connection.execute(f"ANALYZE {index.table}", timeout=STATEMENT_LIMIT)


async def _build(
    connection: Connection, index: EmbeddingIndex, rows: int, workers: int = 2
) -> None:
    # All of it in memory: it takes many times as long else.
    memory = min(MAX_MEMORY, 2**26 + rows * (2 * index.dimension + 500))
    async with connection.transaction():
        await connection.execute(f"SET LOCAL max_parallel_maintenance_workers = {workers}")
        await connection.execute(f"SET LOCAL maintenance_work_mem = '{memory // 1024}kB'")
        await connection.execute(
            f"CREATE INDEX ON {index.table} USING hnsw (embedding halfvec_ip_ops)",
            timeout=STATEMENT_LIMIT,
        )


def _text(title: str, heading: str, sentences: str) -> str:
    spoken = searched(msgspec.json.decode(sentences, type=Sequence[Sentence]))
    return "\n".join(filter(None, (title, heading, spoken)))


def _for(index: EmbeddingIndex, statement: str) -> str:
    return statement.format(table=index.table, dimension=index.dimension)
