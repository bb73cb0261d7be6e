"""Embedding of passages, and the indexes of several embedders."""

from collections.abc import Sequence
from pathlib import Path

import asyncpg
import pytest

from app.services.ingest.progress import Progress
from app.services.ingest.store.embeddings import BATCH, embed_missing, embedding_indexes
from app.services.search.embedding import EmbeddingFailed
from tests.scripted_embedder import word_counts
from tests.services.ingest.libraries import ignore_progress
from tests.services.search.search_library import ScriptedEmbedder, fill, many_passages, page

pytestmark = pytest.mark.anyio


def sixteen_dimensions(text: str) -> Sequence[float]:
    return word_counts(text, 16)


async def count_embeddings(connection: asyncpg.Connection, index: int) -> int:
    rows: int = await connection.fetchval(f"SELECT count(*) FROM embeddings_{index}")  # noqa: S608
    return rows


async def test_interrupted_run_continues_and_embeds_nothing_twice(
    database: asyncpg.Connection,
) -> None:
    await many_passages(database, BATCH + 40)
    # The first call determines the dimension.
    interrupted = ScriptedEmbedder(fails_at=3)
    with pytest.raises(EmbeddingFailed):
        await embed_missing(database, interrupted, ignore_progress)
    ((index, complete),) = (await embedding_indexes(database)).values()
    assert (await count_embeddings(database, index.id), complete) == (BATCH, False)

    rest = ScriptedEmbedder()
    steps: list[Progress] = []
    assert await embed_missing(database, rest, steps.append) == index

    ((_, complete),) = (await embedding_indexes(database)).values()
    assert (await count_embeddings(database, index.id), complete) == (BATCH + 40, True)
    texts = [text for call in (interrupted.calls[1], *rest.calls[1:]) for text in call]
    assert len(texts) == len(set(texts)) == BATCH + 40
    assert [(one.done, one.total) for one in steps] == [(0, 40), (40, 40)]


async def test_progress_is_reported_after_each_batch(database: asyncpg.Connection) -> None:
    await many_passages(database, 2 * BATCH + 1)
    steps: list[Progress] = []
    await embed_missing(database, ScriptedEmbedder(), steps.append)
    total = 2 * BATCH + 1
    assert [(one.done, one.total) for one in steps] == [
        (done, total) for done in (0, BATCH, 2 * BATCH, total)
    ]


async def test_embedded_text_has_title_heading_and_sentences(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    embedder = ScriptedEmbedder()
    text = "## Attack\n\nSet the attack to 10 ms.\n"
    await fill(database, tmp_path / "lib", {"ann/bass.md": page("Side-chain", text)}, embedder)
    assert embedder.calls[1] == ["Side-chain\nAttack\nSet the attack to 10 ms."]


async def test_vector_is_stored_with_its_passage(database: asyncpg.Connection) -> None:
    await many_passages(database, 5)
    embedder = ScriptedEmbedder()
    index = await embed_missing(database, embedder, ignore_progress)
    (vector,) = await embedder.embed_questions(["Many\nknob4 turns dial4"])
    nearest = await database.fetchval(
        f"SELECT p.ordinal FROM {index.table} e JOIN passages p ON p.id = e.passage_id"  # noqa: S608
        " ORDER BY embedding <#> $1::text::halfvec LIMIT 1",
        str(vector),
    )
    assert nearest == 4


async def test_deleted_documents_lose_their_embeddings(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    one, two = page("One", "The kick has its body at 60 Hz."), page("Two", "The snare rings.")
    embedder = ScriptedEmbedder()
    await fill(database, tmp_path / "lib", {"ann/one.md": one, "ann/two.md": two}, embedder)
    ((index, _),) = (await embedding_indexes(database)).values()
    assert await count_embeddings(database, index.id) == 2

    (tmp_path / "lib/ann/one.md").unlink()
    await fill(database, tmp_path / "lib", {}, embedder)

    assert await count_embeddings(database, index.id) == 1
    # Only the call for the dimension.
    assert embedder.calls[-1] == ["dimension"]


async def test_new_dimension_under_the_same_name_replaces_the_index(
    database: asyncpg.Connection,
) -> None:
    await many_passages(database, 3)
    before = await embed_missing(database, ScriptedEmbedder(), ignore_progress)
    after = await embed_missing(
        database, ScriptedEmbedder(vector_of=sixteen_dimensions), ignore_progress
    )
    assert (before.name, before.dimension) == (after.name, 64)
    assert after.dimension == 16
    assert await embedding_indexes(database) == {"scripted": (after, True)}
    assert await count_embeddings(database, after.id) == 3
    assert await database.fetchval("SELECT to_regclass($1)", before.table) is None


async def test_two_embedders_have_separate_indexes(database: asyncpg.Connection) -> None:
    await many_passages(database, 3)
    one = await embed_missing(database, ScriptedEmbedder("one"), ignore_progress)
    two = await embed_missing(
        database, ScriptedEmbedder("two", sixteen_dimensions), ignore_progress
    )
    assert await embedding_indexes(database) == {"one": (one, True), "two": (two, True)}


async def test_embedder_that_fails_at_once_leaves_no_index(
    database: asyncpg.Connection,
) -> None:
    await many_passages(database, 3)
    with pytest.raises(EmbeddingFailed):
        await embed_missing(database, ScriptedEmbedder(fails_at=1), ignore_progress)
    assert await embedding_indexes(database) == {}
