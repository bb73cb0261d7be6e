"""Ingestion and reindexing with different embedders, and services that search meanwhile."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import pytest
from msgspec.structs import replace

from app.cli.errors import CommandError
from app.cli.library import Library, ingest_folder, open_library
from app.cli.reindex import reindex
from app.cli.sample_library import SAMPLE, drop_retired_sample_embeddings, update_sample_library
from app.cli.serve import check_embedder
from app.config import Settings
from app.schemas import Matching
from app.services.ingest.errors import IngestError, NotEmbedded
from app.services.ingest.store.embeddings import embedding_indexes
from app.services.ingest.store.indexer import Indexer
from tests.scripted_embedder import embeddings, word_counts
from tests.scripted_model import Answer, Request, ScriptedModel
from tests.service import Client, running
from tests.services.ingest.libraries import ignore_progress, write_files
from tests.services.search.search_library import (
    ScriptedEmbedder,
    fill,
    many_passages,
    page,
    save_classifier,
)

pytestmark = pytest.mark.anyio

PAGES = {
    "mara/bass.md": page("Side-chain", "Set the attack of the compressor to 10 ms.", topic="Bass"),
    "june/plate.md": page("Plate reverb", "A plate decays within two seconds on vocals."),
}
QUESTION = "How fast is the attack of the compressor?"


@pytest.fixture
async def server() -> AsyncIterator[ScriptedModel]:
    """A server that returns embeddings."""
    async with ScriptedModel() as server:
        server.answers(embeddings())
        yield server


@pytest.fixture
def first(database_url: str, redis_url: str, server: ScriptedModel) -> Settings:
    """Settings of a service whose embedder is `first`."""
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        embedding_base_url=server.base_url,
        embedding_model="first",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_files(tmp_path / "library", PAGES)


async def ingested(settings: Settings, folder: Path) -> None:
    async with open_library(settings) as into:
        await ingest_folder(into, folder)


async def matching(service: Client) -> Any:
    """Search for something the library has; return how passages were matched."""
    status, found, _ = await service.call("GET", "/api/v1/search", params={"q": QUESTION})
    assert (status, found["cascade_tier"]) == (200, "global"), found
    assert found["citations"][0]["title"] == "Side-chain"
    return found["scope"]["matching"]


async def test_services_keep_searching_while_another_embedder_takes_over(
    first: Settings, folder: Path, database: asyncpg.Connection
) -> None:
    await ingested(first, folder)
    hybrid: Matching = "hybrid"
    async with ScriptedModel() as slow, running(first) as old:
        second = replace(first, embedding_base_url=slow.base_url, embedding_model="second")
        assert await matching(old) == hybrid

        # The vectors are held back until the old service has searched.
        searched = anyio.Event()
        answer = embeddings(lambda text: word_counts(text, 32))

        def hold(request: Request) -> Answer:
            whole = answer(request)
            return dataclasses.replace(whole, steps=(searched, *whole.steps))

        slow.answers(answer, hold, answer)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reindex, second)
            await slow.asked(2)
            half_done = {
                name: done for name, (_, done) in (await embedding_indexes(database)).items()
            }
            assert half_done == {"first": True, "second": False}
            assert await matching(old) == hybrid
            searched.set()

        async with running(second) as new:
            assert [await matching(old), await matching(new)] == [hybrid, hybrid]
            await ingested(second, folder)
            assert set(await embedding_indexes(database)) == {"second"}
            assert [await matching(old), await matching(new)] == ["lexical", hybrid]


async def test_other_embedder_is_refused_with_the_command_that_reindexes(
    first: Settings, folder: Path, database: asyncpg.Connection
) -> None:
    await ingested(first, folder)
    write_files(folder, {"mara/new.md": page("New", "This is not ingested.")})
    async with open_library(replace(first, embedding_model="second")) as into:
        with pytest.raises(CommandError, match="python -m app reindex") as refusal:
            await check_embedder(into)
        assert "the embedder first" in str(refusal.value)
        assert "second" in str(refusal.value)
        with pytest.raises(CommandError, match="python -m app reindex"):
            await ingest_folder(into, folder)
    assert await database.fetchval("SELECT count(*) FROM documents") == 2
    assert set(await embedding_indexes(database)) == {"first"}


@pytest.mark.parametrize("retired", ["wordllama-256", "minilm-l6-int8"])
async def test_library_of_a_retired_embedder_is_searched_by_words_until_it_is_reindexed(
    first: Settings,
    folder: Path,
    database: asyncpg.Connection,
    retired: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await fill(database, folder, PAGES, ScriptedEmbedder(retired))
    async with running(first) as service:
        assert await matching(service) == "lexical"
        hint = (
            f"lexical search only: the library has only embeddings by {retired};"
            " run `python -m app reindex` to embed it with first"
        )
        assert [log.getMessage() for log in caplog.records if log.levelname == "WARNING"] == [hint]

        write_files(folder, {"mara/new.md": page("New", "The gate opens within 2 ms.")})
        await ingested(first, folder)
        assert "run `python -m app reindex` to embed all of it with first" in caplog.text
        assert await database.fetchval("SELECT count(*) FROM documents") == 3
        assert set(await embedding_indexes(database)) == {retired}

        await reindex(first)
        # The first question still runs with the old plan, without an embedding.
        assert [await matching(service) for _ in range(2)] == ["lexical", "hybrid"]
    await ingested(first, folder)
    assert set(await embedding_indexes(database)) == {"first"}


async def test_sample_library_of_a_retired_embedder_is_embedded_again(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    await fill(database, tmp_path, PAGES, ScriptedEmbedder("wordllama-256"))
    await database.execute("UPDATE libraries SET name = $1", SAMPLE)
    indexer = Indexer(pgvector=True, embedder=ScriptedEmbedder("first"))
    await drop_retired_sample_embeddings(Library(database, indexer))
    await indexer.update(database, (), ignore_progress)
    assert set(await embedding_indexes(database)) == {"first"}


async def test_own_library_of_a_retired_embedder_is_not_embedded_again_by_itself(
    first: Settings, database: asyncpg.Connection, tmp_path: Path
) -> None:
    await fill(database, tmp_path, PAGES, ScriptedEmbedder("wordllama-256"))
    async with open_library(first) as into:
        await drop_retired_sample_embeddings(into)
        await update_sample_library(into)
    assert set(await embedding_indexes(database)) == {"wordllama-256"}


async def test_reindex_without_an_embedder_is_refused(first: Settings, folder: Path) -> None:
    settings = replace(first, embedding_base_url="", embedding_model="none")
    async with open_library(settings) as into:
        await ingest_folder(into, folder)
    with pytest.raises(CommandError, match="EMBEDDING_MODEL"):
        await reindex(settings)


async def test_failed_embeddings_are_added_by_the_next_run(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    with pytest.raises(NotEmbedded, match="run the same command again"):
        await fill(database, tmp_path, PAGES, ScriptedEmbedder(fails_at=2))
    assert await database.fetchval("SELECT count(*) FROM languages WHERE NOT stale") == 1
    ((index, complete),) = (await embedding_indexes(database)).values()
    assert not complete

    report = await fill(database, tmp_path, PAGES, ScriptedEmbedder())

    assert report.unchanged == 2
    assert await embedding_indexes(database) == {"scripted": (index, True)}


async def test_embedder_that_fails_during_calibration_is_reported(
    database: asyncpg.Connection,
) -> None:
    await many_passages(database, 120)
    # The calls are for the dimension, the passages and the calibration questions.
    indexer = Indexer(pgvector=True, embedder=ScriptedEmbedder(fails_at=3))
    with pytest.raises(IngestError, match="status 500"):
        await indexer.update(database, ["english"], ignore_progress)


async def test_ingestion_with_the_old_embedder_keeps_the_unfinished_index_of_the_new_one(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    await fill(database, tmp_path, PAGES, ScriptedEmbedder("first"))
    with pytest.raises(NotEmbedded):
        await Indexer(pgvector=True, embedder=ScriptedEmbedder("second", fails_at=2)).embed(
            database, ignore_progress
        )
    unfinished = (await embedding_indexes(database))["second"]

    await fill(database, tmp_path, PAGES, ScriptedEmbedder("first"))

    assert (await embedding_indexes(database))["second"] == unfinished


async def test_classifiers_of_a_library_that_became_small_are_deleted(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    await save_classifier(database, "{}")
    await fill(database, tmp_path, PAGES)
    assert await database.fetchval("SELECT count(*) FROM gates") == 0


async def test_classifiers_fitted_to_a_removed_sample_library_are_deleted(
    database: asyncpg.Connection, tmp_path: Path
) -> None:
    await fill(database, tmp_path, PAGES)
    await many_passages(database, 120)
    await database.execute("UPDATE libraries SET name = $1 WHERE name = 'many'", SAMPLE)
    # As if fitted to both libraries.
    await save_classifier(database, "{}")
    await database.execute("UPDATE gates SET passages = 122")

    await update_sample_library(Library(database, Indexer(pgvector=True)))

    assert await database.fetchval("SELECT count(*) FROM passages") == 2
    assert await database.fetchval("SELECT count(*) FROM gates") == 0
