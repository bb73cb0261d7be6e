"""Passages are embedded once, in batches that stay, and an index serves when it is whole."""

from collections.abc import Sequence
from pathlib import Path

import asyncpg
import pytest

from app.services.ingest.report import Progress
from app.services.ingest.store.embed import BATCH, embed_missing, indexes
from app.services.search.embedding import EmbeddingFailed
from tests.scripted_embedder import word_counts
from tests.services.search.search_library import ScriptedEmbedder, fill, many_passages, page

pytestmark = pytest.mark.anyio


def silent(progress: Progress) -> None:
    pass


def narrow(text: str) -> Sequence[float]:
    return word_counts(text, 16)


async def embedded(connection: asyncpg.Connection, index: int) -> int:
    rows: int = await connection.fetchval(f"SELECT count(*) FROM embeddings_{index}")  # noqa: S608
    return rows


async def test_a_run_that_was_cut_off_goes_on_and_embeds_nothing_twice(
    database: asyncpg.Connection,
) -> None:
    await many_passages(database, BATCH + 40)
    # The first call finds out the dimension.
    cut_off = ScriptedEmbedder(fails_at=3)
    with pytest.raises(EmbeddingFailed):
        await embed_missing(database, cut_off, silent)
    ((index, complete),) = (await indexes(database)).values()
    assert (await embedded(database, index.id), complete) == (BATCH, False)

    rest = ScriptedEmbedder()
    steps: list[Progress] = []
    assert await embed_missing(database, rest, steps.append) == index

    ((_, complete),) = (await indexes(database)).values()
    assert (await embedded(database, index.id), complete) == (BATCH + 40, True)
    texts = [text for call in (cut_off.calls[1], *rest.calls[1:]) for text in call]
    assert len(texts) == len(set(texts)) == BATCH + 40
    assert [(one.done, one.total) for one in steps] == [(0, 40), (40, 40)]


async def test_what_is_embedded_is_title_heading_and_words_with_who_says_them(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    embedder = ScriptedEmbedder()
    text = "## Attack\n\nSet the attack to 10 ms.\n"
    await fill(database, tmp_path / "lib", {"ann/bass.md": page("Side-chain", text)}, embedder)
    assert embedder.calls[1] == ["Side-chain\nAttack\nSet the attack to 10 ms."]


async def test_a_vector_is_kept_with_its_own_passage(database: asyncpg.Connection) -> None:
    await many_passages(database, 5)
    embedder = ScriptedEmbedder()
    index = await embed_missing(database, embedder, silent)
    (vector,) = await embedder(["Many\nknob4 turns dial4"])
    nearest = await database.fetchval(
        f"SELECT p.ordinal FROM {index.table} e JOIN passages p ON p.id = e.passage_id"  # noqa: S608
        " ORDER BY embedding <#> $1::text::halfvec LIMIT 1",
        str(vector),
    )
    assert nearest == 4


async def test_documents_that_go_take_their_embeddings_with_them(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    one, two = page("One", "The kick has its body at 60 Hz."), page("Two", "The snare rings.")
    embedder = ScriptedEmbedder()
    await fill(database, tmp_path / "lib", {"ann/one.md": one, "ann/two.md": two}, embedder)
    ((index, _),) = (await indexes(database)).values()
    assert await embedded(database, index.id) == 2

    (tmp_path / "lib/ann/one.md").unlink()
    await fill(database, tmp_path / "lib", {}, embedder)

    assert await embedded(database, index.id) == 1
    # No more than the question for the dimension.
    assert embedder.calls[-1] == ["dimension"]


async def test_another_dimension_under_the_same_name_gets_a_table_of_its_own(
    database: asyncpg.Connection,
) -> None:
    await many_passages(database, 3)
    before = await embed_missing(database, ScriptedEmbedder(), silent)
    after = await embed_missing(database, ScriptedEmbedder(vector_of=narrow), silent)
    assert (before.name, before.dimension) == (after.name, 64)
    assert after.dimension == 16
    assert await indexes(database) == {"scripted": (after, True)}
    assert await embedded(database, after.id) == 3
    assert await database.fetchval("SELECT to_regclass($1)", before.table) is None


async def test_two_embedders_stand_side_by_side(database: asyncpg.Connection) -> None:
    await many_passages(database, 3)
    one = await embed_missing(database, ScriptedEmbedder("one"), silent)
    two = await embed_missing(database, ScriptedEmbedder("two", narrow), silent)
    assert await indexes(database) == {"one": (one, True), "two": (two, True)}


async def test_an_embedder_that_cannot_even_begin_leaves_nothing(
    database: asyncpg.Connection,
) -> None:
    await many_passages(database, 3)
    with pytest.raises(EmbeddingFailed):
        await embed_missing(database, ScriptedEmbedder(fails_at=1), silent)
    assert await indexes(database) == {}
